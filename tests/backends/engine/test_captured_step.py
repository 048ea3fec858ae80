"""A step with fixed places in memory does what the step does."""

from typing import Any

import numpy as np
import pytest

from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import DeviceStep, HostStep
from xpmlp.nn.tree import tree_map


@pytest.fixture
def make_case(problem: Any, plain_backend: Any, place: Any) -> Any:
    """Make a problem with batches of 4, 4 and 3 rows, on a library whose arrays can be written to."""
    if place.name not in ("numpy", "torch", "cupy"):
        pytest.skip(f"arrays of {place.name} cannot be written to by an array of indices")
    shape = {"sizes": (5, 7, 3), "rows": 11, "batch_size": 4, "dtype": "float64", "weighted": True}
    return lambda optimizer, models=(): problem(plain_backend, **shape, optimizer=optimizer, models=models)


def assert_same(left: Any, right: Any) -> None:
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), left, right)


@pytest.mark.parametrize("models", [(), (2,)])
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
def test_played_step_by_step_it_is_the_eager_epoch(make_case: Any, optimizer: str, models: tuple[int, ...]) -> None:
    case = make_case(optimizer, models)
    played: list[int] = []

    def record(static: DeviceStep) -> Any:
        static.rewind()
        static.run()  # as a warm-up on a device leaves it: with the state and the place in the epoch gone on

        def play() -> None:
            played.append(static.batches.shape[1])
            static.run()

        return play

    recorded = CapturedEpoch(case.backend.xp, record)

    def run_epoch(step: Any, state: Any, *arguments: Any) -> Any:
        before = case.to_host(state)
        result = recorded.run(step, state, *arguments)
        assert_same(case.to_host(state), before)  # what it was given is still what it was
        return result

    assert_same(case.epochs(run_epoch), case.eager_epochs())
    assert played == 3 * [4, 4, 3]


def test_each_size_of_batch_is_recorded_once_for_all_epochs(make_case: Any) -> None:
    case = make_case("sgd")
    sizes = []

    def record(static: DeviceStep) -> Any:
        sizes.append(static.batches.shape)
        return static.run

    recorded = CapturedEpoch(case.backend.xp, record)
    state, samples = case.start()
    order, rates = map(case.backend.asarray, (case.orders[0], case.rates))
    for _ in range(50):
        recorded.run(case.step, state, samples, order, rates, 4)
    assert sizes == [(2, 4), (1, 3)]
    # Fewer batches of a known size need no new recording; more of them do, and other data.
    recorded.run(case.step, state, samples, order[:4], rates[:1], 4)
    assert len(sizes) == 2
    others = samples.map(lambda array: array + 0)
    recorded.run(case.step, state, others, order[:4], rates[:1], 4)
    assert sizes[2:] == [(1, 4)]
    recorded.run(case.step, state, others, order, rates, 4)
    assert sizes[3:] == [(2, 4), (1, 3)]


def test_a_result_is_not_written_over_by_the_next_epoch(make_case: Any) -> None:
    case = make_case("adam")
    recorded = CapturedEpoch(case.backend.xp, lambda static: static.run)
    state, samples = case.start()
    order, rates = map(case.backend.asarray, (case.orders[0], case.rates))
    full = samples, order[:8], rates[:2], 4
    first = recorded.run(case.step, state, *full)
    kept = case.to_host(first)
    recorded.run(case.step, first[0], samples, order, rates, 4)
    assert_same(case.to_host(first), kept)
    # The same epoch once more, although the buffers that held its state are ahead.
    again = recorded.run(case.step, first[0], *full)
    assert_same(case.to_host(again), case.to_host(case.backend.run_epoch(case.step, first[0], *full)))


@pytest.mark.parametrize("place", ["numpy"], indirect=True)
def test_the_host_gives_the_batches_of_numpy_arrays(make_case: Any) -> None:
    case = make_case("adam", (2,))
    captured = CapturedEpoch(np, lambda step: step.run, kind=HostStep)
    assert_same(case.epochs(captured.run), case.eager_epochs())
