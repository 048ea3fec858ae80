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
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map

pytestmark = pytest.mark.gpu


@pytest.fixture
def make_static(backend: Backend, problem: Any) -> Any:
    """Make a step of a random network on random data, ready to be captured."""

    def make(**settings: Any) -> DeviceStep:
        case = problem(backend, **{"sizes": (12, 9, 4), "rows": 60, "batch_size": 20, "dtype": "float64"} | settings)
        state, samples = case.start()
        batches = backend.asarray(case.orders[0].reshape(3, 20))
        namespace = backend.recorded.xp  # type: ignore[attr-defined]
        return DeviceStep(namespace, case.step, state, samples, batches, backend.asarray(case.rates))

    return make


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
def test_kernels_compute_every_step(
    backend: Backend, make_static: Any, targets_for: Any, loss: str, dtype: str
) -> None:
    with backend.scope():
        chosen = list(ACTIVATIONS)[list(LOSSES).index(loss) :: len(LOSSES)]
        # Signs add up to zero at times, and Adam makes full steps of what rounding leaves.
        optimizer = "sgd" if loss == "absolute_error" else "adam"
        fixed = {"loss": loss, "dtype": dtype, "optimizer": optimizer, "targets_for": targets_for}
        for activation, models in itertools.product(["relu", *chosen], [(), (3,)]):
            settings = {"activation": activation, "models": models, "rates_of_models": bool(models)}
            assert_same_steps(make_static(**fixed, **settings))


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
def test_kernels_compute_special_steps(backend: Backend, make_static: Any, name: str) -> None:
    with backend.scope():
        assert_same_steps(make_static(**SPECIAL[name], rates_of_models="models" in SPECIAL[name]))


def test_samples_may_lie_in_any_order(backend: Backend, make_static: Any) -> None:
    with backend.scope():
        static = make_static()
        x = static.samples.x
        static.samples = static.samples._replace(x=backend.xp.asarray(x.get().T.copy()).T)
        assert_same_steps(static)


def test_unknown_functions_and_wrong_numbers_are_not_used(
    backend: Backend, make_static: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = importlib.import_module("xpmlp.backends.cupy.kernels.program")
    source = importlib.import_module("xpmlp.backends.cupy.kernels.source")

    def arctan_step(xp: Any, state: TrainingState, x: Any, *others: Any) -> Any:
        return state, xp.sum(xp.atan(x))

    with backend.scope(), caplog.at_level(logging.DEBUG):
        static = make_static()
        static.step = arctan_step
        assert program.compile_step(static) is None
        assert "a step is captured call by call, because NotTraceableError: no kernel is known for" in caplog.text
        monkeypatch.setitem(source.FUNCTIONS, np.tanh, "0.99 * tanh({})")
        assert program.compile_step(make_static()) is None
        assert "the kernels computed other numbers" in caplog.text
