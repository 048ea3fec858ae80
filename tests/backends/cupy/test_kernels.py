"""A step in fused kernels gives the eager step's numbers, and is captured call by call if it cannot be written so.

Runs on a GPU, or on the emulated device.
"""

import importlib
import itertools
import logging
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend
from xpmlp.backends.engine.captured_step import DeviceStep
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map
from xpmlp.training import OPTIMIZERS

pytestmark = pytest.mark.gpu

ROWS, BATCH = 60, 20


def make_static(
    backend: Backend,
    *,
    sizes: tuple[int, ...] = (12, 9, 4),
    activation: str = "tanh",
    loss: str = "softmax_cross_entropy",
    optimizer: str = "adam",
    dtype: str = "float64",
    models: tuple[int, ...] = (),
    weighted: bool = False,
    divisor: float | None = None,
    **settings: Any,
) -> DeviceStep:
    """Return a step of a random network on random data, ready to be captured."""
    generator = np.random.default_rng(0)
    step = make_step(
        activation=ACTIVATIONS[activation], loss=LOSSES[loss], optimizer=OPTIMIZERS[optimizer](), **settings
    )
    layers = init_layers(np, generator, sizes, glorot_uniform(), models=models, dtype=np.dtype(dtype))
    layers = tree_map(backend.asarray, layers)
    key = backend.asarray(np.full(models, 7)) if settings.get("dropout") else ()
    state = TrainingState(layers, OPTIMIZERS[optimizer]().init(backend.xp, layers), key)
    x = generator.normal(size=(ROWS, sizes[0])) if divisor is None else generator.integers(256, size=(ROWS, sizes[0]))
    targets = np.eye(sizes[-1])[generator.integers(sizes[-1], size=ROWS)] + (loss == "gamma")
    samples = Samples(
        backend.asarray(x.astype(dtype if divisor is None else "uint8")),
        backend.asarray(targets, dtype),
        backend.asarray(generator.uniform(size=ROWS), dtype) if weighted else None,
        divisor,
    )
    batches = backend.asarray(generator.permutation(ROWS).reshape(-1, BATCH))
    rates = generator.uniform(0.01, 0.1, size=(len(batches), *models, *((1, 1) if models else ())))
    assert backend.recorded is not None  # type: ignore[attr-defined]
    namespace = backend.recorded.xp  # type: ignore[attr-defined]
    return DeviceStep(namespace, step, state, samples, batches, backend.asarray(rates, dtype))


def steps_of(static: DeviceStep, take_step: Any, before: TrainingState) -> Any:
    """Return the state and the objectives, on the host, after a step for each batch."""
    tree_map(lambda buffer, array: buffer.__setitem__(..., array), static.state, before)
    static.rewind()
    for _ in range(static.steps):
        take_step()
    return tree_map(lambda array: array.get(), (static.state, static.objectives))


def assert_same_steps(static: DeviceStep) -> None:
    """Compare the kernels with the eager step."""
    dtype = static.objectives.dtype
    compile_step = importlib.import_module("xpmlp.backends.cupy.kernels").compile_step
    before = tree_map(static.copy, static.state)
    run = compile_step(static)
    assert run is not None, "the step was not written as kernels"
    expected, found = (steps_of(static, take_step, before) for take_step in (static.run, run))
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 10), found, expected)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "quantile"])  # captured call by call
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_compute_every_step(backend: Backend, loss: str, dtype: str) -> None:
    with backend.scope():
        chosen = list(ACTIVATIONS)[list(LOSSES).index(loss) :: len(LOSSES)]
        # Signs add up to zero at times, and Adam makes full steps of what rounding leaves.
        optimizer = "sgd" if loss == "absolute_error" else "adam"
        settings: dict[str, Any] = {"loss": loss, "dtype": dtype, "optimizer": optimizer}
        for activation, models in itertools.product(["relu", *chosen], [(), (3,)]):
            assert_same_steps(make_static(backend, activation=activation, models=models, **settings))


SPECIAL: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "nesterov", "penalty": 0.01},
    "sample weights": {"weighted": True, "penalty": 0.01},
    "weights of a population": {"weighted": True, "models": (2, 3)},
    "bytes": {"divisor": 255.0},
    "dropout": {"sizes": (12, 9, 7, 4), "dropout": 0.3, "penalty": 0.01},
    "dropout of a population": {"dropout": 0.3, "models": (3,)},
    "one output": {"sizes": (12, 9, 1), "loss": "logistic_cross_entropy", "weighted": True},
    "one of everything": {"sizes": (1, 1, 1), "loss": "squared_error", "models": (1,)},
    "no hidden layer": {"sizes": (12, 4)},
    "many rows of a few elements": {"sizes": (3, 4, 2), "models": (20,)},
    "rows that take a block": {"sizes": (5, 700, 600), "penalty": 0.01},
}


@pytest.mark.parametrize("name", SPECIAL)
def test_kernels_compute_special_steps(backend: Backend, name: str) -> None:
    with backend.scope():
        assert_same_steps(make_static(backend, **SPECIAL[name]))


def test_samples_may_lie_in_any_order(backend: Backend) -> None:
    with backend.scope():
        static = make_static(backend)
        x = static.samples.x
        static.samples = static.samples._replace(x=backend.xp.asarray(x.get().T.copy()).T)
        assert_same_steps(static)


def test_unknown_functions_and_wrong_numbers_are_not_used(
    backend: Backend, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = importlib.import_module("xpmlp.backends.cupy.kernels.program")
    source = importlib.import_module("xpmlp.backends.cupy.kernels.source")

    def arctan_step(xp: Any, state: TrainingState, x: Any, *others: Any) -> Any:
        return state, xp.sum(xp.atan(x))

    with backend.scope(), caplog.at_level(logging.DEBUG):
        static = make_static(backend)
        static.step = arctan_step
        assert program.compile_step(static) is None
        assert "a step is captured call by call, because NotTraceableError: no kernel is known for" in caplog.text
        monkeypatch.setitem(source.FUNCTIONS, np.tanh, "0.99 * tanh({})")
        assert program.compile_step(make_static(backend)) is None
        assert "the kernels computed other numbers" in caplog.text
