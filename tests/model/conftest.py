from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path to write to again and again."""
    return tmp_path_factory.mktemp("scratch") / "model.safetensors"
