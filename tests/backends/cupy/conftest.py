import pytest

from xpmlp.backends import Backend, load_backend
from xpmlp.errors import BackendError, MissingDependencyError


@pytest.fixture
def backend() -> Backend:
    """CuPy on the first device, able to capture steps."""
    try:
        backend = load_backend("cupy")
    except (MissingDependencyError, BackendError) as error:
        pytest.skip(str(error))
    with backend.scope():
        if not backend.records_steps:
            pytest.skip("nvmath-python is not installed")
    return backend
