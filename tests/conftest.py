"""What every test may ask for: each array library in turn, and the real MNIST."""

import contextlib
import functools
import gzip
import importlib
import importlib.util
import itertools
import os
import re
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import array_api_compat.numpy
import hypothesis
import numpy as np
import pytest

# Where a run must be repeatable, hypothesis draws the same examples every time; elsewhere it keeps looking.
hypothesis.settings.register_profile("xpmlp", deadline=None, derandomize="CI" in os.environ, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("xpmlp")


@dataclass(frozen=True)
class Place:
    """Where the arrays of a test live: a namespace and a device, not the library's default one where there is another.

    `name` is the library's, as the tests are named after it.
    """

    name: str
    xp: Any
    device: Any
    fetch: Callable[[Any], Any] = np.asarray

    def asarray(self, array: Any, dtype: str = "float64") -> Any:
        """Copy host numbers to the device, as the dtype of that name."""
        return self.xp.asarray(np.array(array), dtype=getattr(self.xp, dtype), device=self.device)

    def bind(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give a function its namespace. JAX compiles it as a whole, which is quicker than every operation alone."""
        bound = functools.partial(function, self.xp)
        return importlib.import_module("jax").jit(bound) if self.name == "jax" else bound

    def to_numpy(self, array: Any) -> np.ndarray:
        """Copy an array to the host; it must live in this place, or the test fails."""
        assert self.device is None or array.device == self.device, f"{array.device} is not {self.device}"
        return np.array(self.fetch(array))


class ReadOnlyNumpy:
    """NumPy's namespace, whose functions return arrays that cannot be written to: in-place operations on them raise."""

    __name__ = "numpy, read-only"

    def __getattr__(self, name: str) -> Any:
        function = getattr(array_api_compat.numpy, name)
        if isinstance(function, type) or not callable(function):
            return function
        return lambda *args, **kwargs: read_only(function(*args, **kwargs))


def read_only(value: Any) -> Any:
    """Forbid writing to an array, or to those in a list or tuple."""
    for array in value if isinstance(value, list | tuple) else [value]:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return value


def import_or_skip(module: str) -> Any:
    """Import a library, or skip the test by the library's name where it is not installed."""
    library = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != library:
            raise
        return pytest.skip(f"{library} is not installed")


def newest_strict_version(strict: Any) -> str:
    """The newest final version of the standard that array-api-strict offers; it warns of one that is a draft."""
    for year in range(2035, 2023, -1):
        version = f"{year}.12"
        with (
            contextlib.suppress(ValueError, UserWarning),
            warnings.catch_warnings(action="error"),
            strict.ArrayAPIStrictFlags(api_version=version),
        ):
            return version
    raise AssertionError("array-api-strict offers no version of the standard since 2024.12")


def numpy_place(name: str, stack: ExitStack) -> Place:
    return Place(name, array_api_compat.numpy, "cpu")


def read_only_place(name: str, stack: ExitStack) -> Place:
    return Place(name, ReadOnlyNumpy(), "cpu")


def strict_place(name: str, stack: ExitStack) -> Place:
    strict = import_or_skip("array_api_strict")
    version = name.removeprefix("array-api-strict").removeprefix("-") or newest_strict_version(strict)
    stack.enter_context(
        strict.ArrayAPIStrictFlags(
            api_version=version, boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
        )
    )
    host = strict.Device("CPU_DEVICE")
    return Place(name, strict, strict.Device("device1"), lambda array: np.from_dlpack(array.to_device(host)))


def torch_place(name: str, stack: ExitStack) -> Place:
    torch = import_or_skip("torch")
    return Place(name, importlib.import_module("array_api_compat.torch"), torch.device("cpu"))


def torch_cuda_place(name: str, stack: ExitStack) -> Place:
    torch = import_or_skip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    namespace = importlib.import_module("array_api_compat.torch")
    return Place("torch", namespace, torch.device("cuda", 0), lambda array: array.cpu().numpy())


def jax_place(name: str, stack: ExitStack) -> Place:
    jax = import_or_skip("jax")
    stack.callback(jax.config.update, "jax_enable_x64", jax.config.jax_enable_x64)
    jax.config.update("jax_enable_x64", True)
    return Place(name, importlib.import_module("jax.numpy"), jax.devices("cpu")[0])


def cupy_place(name: str, stack: ExitStack) -> Place:
    cupy = import_or_skip("cupy")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        count = 0
    if count == 0:
        pytest.skip("cupy finds no CUDA device")
    return Place(name, importlib.import_module("array_api_compat.cupy"), cupy.cuda.Device(0), cupy.asnumpy)


PLACES: dict[str, Callable[[str, ExitStack], Place]] = {
    "numpy": numpy_place,
    "numpy-readonly": read_only_place,
    # The newest version of the standard that it knows, and the oldest that nn/ promises to be content with.
    "array-api-strict": strict_place,
    "array-api-strict-2024.12": strict_place,
    "torch": torch_place,
    "jax": jax_place,
    "cupy": cupy_place,
    "torch-cuda": torch_cuda_place,
}
GPU_PLACES = ("cupy", "torch-cuda")
GPU_ROOMS = ("backends", "estimators", "nn", "training")
HERE = Path(__file__).parent


GPU_LIBRARIES = ("cupy", "torch", "jax")


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.gpu] * (name in GPU_PLACES)) for name in PLACES])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each array library in turn, with a device and the ways there and back; those not installed are skipped."""
    with ExitStack() as stack:
        yield PLACES[request.param](request.param, stack)


@pytest.fixture
def xp(place: Place) -> Any:
    """The namespace of each array library in turn."""
    return place.xp


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def digits() -> Any:
    """scikit-learn's images of digits, in 1,437 training and 360 test rows."""
    from xpmlp.datasets import load_digits  # here, for the package must not be imported before its types are checked

    return load_digits()


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """A function that makes a network of random weights, for pictures with a `form` or rows of a `schema`."""
    from xpmlp import Model
    from xpmlp.nn.layers import Layer

    def make(
        *,
        hidden: tuple[int, ...] = (7,),
        activation: str = "tanh",
        loss: str = "softmax_cross_entropy",
        classes: Any = (0, 1, 2),
        outputs: int | None = None,
        input_shape: tuple[int, ...] = (6,),
        dtype: str = "float32",
        form: Any = None,
        schema: Any = None,
        **others: Any,
    ) -> Any:
        rng = np.random.default_rng(len(hidden))
        outputs = outputs or len(classes) or 2
        input_shape = form.shape if form else (schema.inputs,) if schema and input_shape == (6,) else input_shape

        def draw(scale: float, *shape: int) -> Any:
            return rng.normal(0.0, scale, shape).astype(dtype)

        sizes = itertools.pairwise((int(np.prod(input_shape)), *hidden, outputs))
        layers = tuple(Layer(draw(2 * i**-0.5, i, o), draw(1.0, 1, o)) for i, o in sizes)
        values: dict[str, Any] = {"input_scale": 255.0 if form else 1.0, "image_preprocessor": form}
        values |= {"output_names": () if classes else tuple(f"y{index}" for index in range(outputs))}
        values |= {"table_schema": schema}
        return Model(layers, activation, loss, tuple(classes), input_shape, **values | others)

    return make


KINDS = ("hidden", "activation", "loss", "classes", "outputs")
MODELS: dict[str, tuple[Any, ...]] = {
    "multiclass": ((), "identity", "softmax_cross_entropy", ("a", "b", "c", "ü"), None),
    "binary": ((5,), "logistic", "logistic_cross_entropy", (3, 5), 1),
    "multilabel": ((8, 3), "tanh", "logistic_cross_entropy", ("x", "y", "z"), None),
    "regression": ((4, 9, 6), "relu", "squared_error", (), 2),
    "selu and mish": ((5, 4), "selu,mish", "huber:2.0", (), 1),
    "quantiles": ((5, 4), "elu,gelu", "quantile:0.1,0.5,0.9", (), 6),
    "bounded": ((5, 4, 4), "leaky_relu,silu,softplus", "squared_error of logistic", (), 2),
    "amounts": ((5,), "softplus", "gamma", (), 1),
    "counts": ((5,), "tanh", "poisson", (), 1),
    "above 0": ((), "identity", "absolute_error of softplus", (), 1),
}


@pytest.fixture(params=["float32", "float64"])
def model_dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*MODELS, *(f"ensemble: {name}" for name in MODELS)])
def any_model(request: pytest.FixtureRequest, make_model: Callable[..., Any], model_dtype: str) -> Any:
    """Networks of every kind of output and activation, 0 to 3 hidden layers, and ensembles, in either precision."""
    name = request.param.removeprefix("ensemble: ")
    model = make_model(dtype=model_dtype, **dict(zip(KINDS, MODELS[name], strict=True)))
    if request.param == name:
        return model
    # Two more members, which predict something else.
    layers = (type(layer)(*(np.stack([array, -array, array[::-1]]) for array in layer)) for layer in model.layers)
    return replace(model, layers=tuple(layers))


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the real MNIST, below the one that XPMLP_DATA_DIR names."""
    value = os.environ.get("XPMLP_DATA_DIR")
    if not value:
        pytest.skip("XPMLP_DATA_DIR is not set: the real MNIST is needed")
    folder = Path(value) / "mnist"
    # Set but wrong is a mistake to hear of, not a reason to test less.
    assert folder.is_dir(), f"XPMLP_DATA_DIR is {value}, which holds no folder mnist"
    return folder


@pytest.fixture(scope="session")
def mnist(mnist_dir: Path) -> Any:
    """The real MNIST."""
    from xpmlp import load_dataset

    return load_dataset("mnist", mnist_dir)


def pytest_make_parametrize_id(val: Any) -> None:
    """Refuse gzip files of this hour: their time would be in the names of tests, and pytest-xdist wants these equal."""
    if isinstance(val, bytes) and val.startswith(b"\x1f\x8b"):
        written = int.from_bytes(val[4:8], "little")
        if abs(time.time() - written) < 3600:
            raise pytest.UsageError(f"a test is named after a gzip file with the time in it; use mtime=0: {val!r}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In a run on a GPU (``-m gpu``), leave out other rooms, and files that import what is not installed."""
    if not is_gpu_run(config) or not collection_path.is_relative_to(HERE) or collection_path == HERE:
        return None
    if collection_path.relative_to(HERE).parts[0] not in GPU_ROOMS:
        return True
    if not collection_path.name.startswith("test_"):
        return None
    imported = re.findall(r"^(?:import|from) (\w+)", collection_path.read_text(encoding="utf-8"), re.MULTILINE)
    return True if not all(map(is_installed, imported)) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave all but a test's first case on JAX to the slow tests: JAX compiles each of them, which takes seconds."""
    begun = set()
    for item in items:
        name, _, case = item.nodeid.partition("[")
        if "jax" in re.split(r"[-\]]", case):
            if name in begun:
                item.add_marker(pytest.mark.slow)
            begun.add(name)


def is_gpu_run(config: pytest.Config) -> bool:
    """Return whether only tests for a GPU were asked for: ``-m gpu``, or ``-m "gpu and not slow"``."""
    return str(config.option.markexpr).startswith("gpu")


def is_installed(module: str) -> bool:
    """Tell whether a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # sys.modules holds None in its place
        return False


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Iterator[None]:
    """Say in a line what a run on a GPU (``-m gpu``) has proved, below all that was skipped."""
    yield
    if is_gpu_run(config):
        terminalreporter.write_line(gpu_verdict(tests_by_outcome(terminalreporter)), bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a run on a GPU that has proved nothing not pass for one that has."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if is_gpu_run(session.config) and reporter and not tests_by_outcome(reporter)["passed"]:
        session.exitstatus = session.exitstatus or pytest.ExitCode.NO_TESTS_COLLECTED


def tests_by_outcome(reporter: Any) -> dict[str, list[str]]:
    """Return the names of the tests that passed, failed, and so on."""
    outcomes = ("passed", "failed", "error", "skipped")
    return {outcome: [report.nodeid for report in reporter.stats.get(outcome, [])] for outcome in outcomes}


def gpu_verdict(tests: dict[str, list[str]]) -> str:
    """Return in a line what the tests on a GPU have proved, for each library that can use one."""

    def state(library: str) -> str:
        wrong = [name for name in [*tests["failed"], *tests["error"]] if library in name]
        right = [name for name in tests["passed"] if library in name]
        return f"{library} {'DOES NOT WORK' if wrong else 'works' if right else 'was not tried'}"

    ran = tests["passed"] or tests["failed"] or tests["error"]
    device = "the emulated device" if "emulated_cuda" in sys.modules else "this GPU"
    verdict = f"{', '.join(map(state, GPU_LIBRARIES))} on {device}" if ran else "found NO GPU that a library could use"
    told = ", ".join(f"{len(names)} {outcome}" for outcome, names in tests.items())
    return f"verdict: {verdict} ({told})"


@pytest.fixture(scope="session")
def targets_for() -> Callable[[str, Any], Any]:
    """A function that makes one-hot targets into those of a loss: amounts, or what all quantiles have in common."""

    def make(loss: str, one_hot: Any) -> Any:
        return one_hot[:, :1] if loss.startswith("quantile") else one_hot + 0.5 if loss == "gamma" else one_hot

    return make


TYPE_CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_content(array: np.ndarray) -> bytes:
    """The bytes of an IDX file that holds an array."""
    header = bytes([0, 0, TYPE_CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    return idx_content


@pytest.fixture(scope="session")
def write_idx() -> Callable[[Path, np.ndarray], Path]:
    """A function that writes an array as an IDX file, gzipped where the name ends so, and returns the path."""

    def write(path: Path, array: np.ndarray) -> Path:
        content = idx_content(array)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        return path

    return write
