"""A step with fixed places in memory does what the step does."""

from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import DeviceStep, HostStep
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState, make_step
from xpmlp.nn.tree import tree_map

OPTIMIZERS = {"sgd": sgd(), "nesterov": sgd(momentum=0.9, nesterov=True), "adam": adam()}
ROWS, BATCH_SIZE = 11, 4


class Case:
    """A network, data and an order, on a library whose arrays can be written to."""

    def __init__(self, place: Any, optimizer: str, models: tuple[int, ...] = ()) -> None:
        if place.name not in ("numpy", "torch", "cupy"):
            pytest.skip(f"arrays of {place.name} cannot be written to by an array of indices")
        self.place = place
        self.backend = Backend(place.xp, place.device)
        generator = np.random.default_rng(0)
        self.samples = Samples(
            place.asarray(generator.normal(size=(ROWS, 5))),
            place.asarray(np.eye(3)[generator.integers(3, size=ROWS)]),
            place.asarray(generator.uniform(0.5, 2.0, ROWS)),
        )
        layers = tuple(
            Layer(*(np.broadcast_to(array, (*models, *array.shape)) for array in layer))
            for layer in init_layers(np, generator, (5, 7, 3), glorot_uniform(), dtype=np.float64)
        )
        device_layers = tree_map(place.asarray, layers)
        self.state = TrainingState(device_layers, OPTIMIZERS[optimizer].init(place.xp, device_layers))
        self.step: Step = make_step(
            activation=ACTIVATIONS["tanh"], loss=LOSSES["softmax_cross_entropy"], optimizer=OPTIMIZERS[optimizer]
        )
        self.order = place.asarray(generator.permutation(ROWS), "int64")
        self.rates = place.asarray([0.3, 0.1, 0.2])

    def host(self, tree: Any) -> Any:
        return tree_map(self.place.to_numpy, tree)


def assert_same(left: Any, right: Any) -> None:
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), left, right)


@pytest.mark.parametrize("models", [(), (2,)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_played_step_by_step_it_is_the_eager_epoch(place: Any, optimizer: str, models: tuple[int, ...]) -> None:
    case = Case(place, optimizer, models)
    before = case.host(case.state)
    played: list[int] = []

    def record(static: DeviceStep) -> Any:
        static.rewind()
        static.run()  # as a warm-up on a device leaves it: with the state and the place in the epoch gone on

        def play() -> None:
            played.append(static.batches.shape[1])
            static.run()

        return play

    recorded = CapturedEpoch(place.xp, record)
    for _ in range(3):
        expected = case.backend.run_epoch(case.step, case.state, case.samples, case.order, case.rates, BATCH_SIZE)
        result = recorded.run(case.step, case.state, case.samples, case.order, case.rates, BATCH_SIZE)
        assert_same(case.host(result), case.host(expected))
        assert_same(case.host(case.state), before)  # what it was given is still what it was
        case.state, before = result[0], case.host(result[0])
    assert played == 3 * [4, 4, 3]


def test_each_size_of_batch_is_recorded_once_for_all_epochs(place: Any) -> None:
    case = Case(place, "sgd")
    sizes = []

    def record(static: DeviceStep) -> Any:
        sizes.append(static.batches.shape)
        return static.run

    recorded = CapturedEpoch(place.xp, record)
    for _ in range(50):
        recorded.run(case.step, case.state, case.samples, case.order, case.rates, BATCH_SIZE)
    assert sizes == [(2, 4), (1, 3)]
    # Fewer batches of a known size need no new recording; more of them do, and other data.
    recorded.run(case.step, case.state, case.samples, case.order[:4], case.rates[:1], BATCH_SIZE)
    assert len(sizes) == 2
    others = case.samples.map(lambda array: case.place.asarray(case.place.to_numpy(array)))
    recorded.run(case.step, case.state, others, case.order[:4], case.rates[:1], BATCH_SIZE)
    assert sizes[2:] == [(1, 4)]
    recorded.run(case.step, case.state, others, case.order, case.rates, BATCH_SIZE)
    assert sizes[3:] == [(2, 4), (1, 3)]


def test_a_result_is_not_written_over_by_the_next_epoch(place: Any) -> None:
    case = Case(place, "adam")
    recorded = CapturedEpoch(place.xp, lambda static: static.run)
    full, rates = case.order[: 2 * BATCH_SIZE], case.rates[:2]
    first = recorded.run(case.step, case.state, case.samples, full, rates, BATCH_SIZE)
    kept = case.host(first)
    recorded.run(case.step, first[0], case.samples, case.order, case.rates, BATCH_SIZE)
    assert_same(case.host(first), kept)
    # The same epoch once more, although the buffers that held its state are ahead.
    again = recorded.run(case.step, first[0], case.samples, full, rates, BATCH_SIZE)
    expected = case.backend.run_epoch(case.step, first[0], case.samples, full, rates, BATCH_SIZE)
    assert_same(case.host(again), case.host(expected))


@pytest.mark.parametrize("place", ["numpy"], indirect=True)
def test_the_host_gives_the_batches_of_numpy_arrays(place: Any) -> None:
    case = Case(place, "adam", (2,))
    captured = CapturedEpoch(np, lambda step: step.run, kind=HostStep)
    expected = case.backend.run_epoch(case.step, case.state, case.samples, case.order, case.rates, BATCH_SIZE)
    result = captured.run(case.step, case.state, case.samples, case.order, case.rates, BATCH_SIZE)
    assert_same(case.host(result), case.host(expected))
