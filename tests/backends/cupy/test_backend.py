"""CuPy captures steps in any thread, whatever the garbage collector does, and goes on if a capture fails.

Runs on a GPU, or on the emulated device, whose counters some tests read.
"""

import gc
import importlib
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import Backend, load_backend
from xpmlp.data import StreamedSamples, place_samples
from xpmlp.data.placement import train_epoch
from xpmlp.nn.step import Step, TrainingState
from xpmlp.nn.tree import tree_map

pytestmark = pytest.mark.gpu


@pytest.fixture
def emulated() -> Any:
    module = pytest.importorskip("emulated_cuda", reason="only the emulated device counts")
    module.reset_counts()
    return module


@pytest.fixture
def run(backend: Backend, problem: Any) -> Any:
    """Train a problem for some epochs of the same order, and return weights and the last epoch's objectives."""

    def run(where: Backend = backend, *, step: Step | None = None, eager: bool = False, **settings: Any) -> Any:
        case = problem(where, **settings)
        state, objectives = (case.eager_epochs if eager else case.epochs)(step=step)[-1]
        with where.scope():
            where.release_recordings()
        return state.layers, objectives

    return run


def assert_same(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 10), found, expected)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_backend_is_freed_at_once(run: Any) -> None:
    run()  # what the libraries load at the first step stays
    other = load_backend("cupy")
    run(other)
    reference = weakref.ref(other)
    gc.disable()
    try:
        del other
        assert reference() is None
    finally:
        gc.enable()


def test_threads_that_end_leave_their_streams_to_later_ones(backend: Backend) -> None:
    streams: list[Any] = []
    for _ in range(50):
        thread = threading.Thread(target=lambda: streams.append(backend.resources.stream))  # type: ignore[attr-defined]
        thread.start()
        thread.join()
    assert len(set(map(id, streams))) < 10
    assert backend.resources.stream not in streams  # type: ignore[attr-defined]


class Finalizer:
    """Synchronizes the device when it is collected, as `cublasDestroy` does, and is in a reference cycle."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        importlib.import_module("cupy").cuda.runtime.deviceSynchronize()


@pytest.fixture
def eager_collection() -> Iterator[None]:
    """Collect garbage as often as possible."""
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("eager_collection")
def test_no_garbage_is_collected_during_a_capture(
    backend: Backend, problem: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    step = problem(backend).step

    def wasteful(xp: Any, *arguments: Any) -> Any:
        Finalizer()
        return step(xp, *arguments)

    assert_same(run(step=wasteful), run(eager=True))
    assert not warnings_of(caplog)


def test_a_step_that_cannot_be_captured_is_taken_eagerly(
    backend: Backend, problem: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    step = problem(backend).step

    def reads_back(xp: Any, state: TrainingState, x: Any, *others: Any) -> Any:
        assert float(xp.sum(xp.abs(x))) > 0.0
        return step(xp, state, x, *others)

    assert_same(run(step=reads_back), run(eager=True))
    messages = warnings_of(caplog)
    assert len(messages) == 2  # the full batch and the smaller one
    assert all("cannot be captured (RuntimeError: the current stream is capturing" in message for message in messages)
    # The stream can capture the next step.
    caplog.clear()
    assert_same(run(), run(eager=True))
    assert not warnings_of(caplog)


def test_without_memory_for_a_workspace_steps_are_eager_and_memory_is_named(
    backend: Backend, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cublas = importlib.import_module("xpmlp.backends.cupy.cublas")
    module = importlib.import_module("xpmlp.backends.cupy.backend")
    resources = importlib.import_module("xpmlp.backends.cupy.resources")
    expected = run()
    monkeypatch.setattr(cublas, "WORKSPACE_BYTES", 2**50)
    fresh = resources.DeviceResources(backend.device)
    monkeypatch.setattr(module, "thread_resources", lambda device: fresh)
    module.warn_of_eager_steps.cache_clear()
    poor = load_backend("cupy")
    assert not poor.records_steps
    assert_same(run(poor), expected)
    (message,) = warnings_of(caplog)
    assert "Out of memory" in message
    assert "pip install" not in message


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda a: a,
    "columns": lambda a: a.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "a part": lambda a: np.concatenate([a, a], axis=-1)[..., : a.shape[-1]],
    "backwards": lambda a: a[..., ::-1, :],
    "one for all": lambda a: a[(0,) * (a.ndim - 2)],
    "one for each of the first axis": lambda a: a[:, :1] if a.ndim > 3 else a,
}


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
@pytest.mark.parametrize("shape", [(4, 3, 5), (1, 1, 1), (1, 6, 1), (5, 1, 2)])
def test_products_of_all_layouts_are_numpys(backend: Backend, leading: Any, shape: Any) -> None:
    xp = backend.recorded.xp  # type: ignore[attr-defined]
    generator, (m, k, n) = np.random.default_rng(0), shape
    with backend.scope():
        for name, other in itertools.product(LAYOUTS, LAYOUTS):
            for dtypes in (("float64", "float64"), ("float32", "float32"), ("float32", "float64")):
                a, b = generator.normal(size=(*leading, m, k)), generator.normal(size=(*leading, k, n))
                a, b = a.astype(dtypes[0]), b.astype(dtypes[1])
                found = xp.matmul(LAYOUTS[name](backend.asarray(a)), LAYOUTS[other](backend.asarray(b)))
                expected, tolerance = LAYOUTS[name](a) @ LAYOUTS[other](b), 1e-11 if "64" in str(found.dtype) else 1e-5
                assert found.dtype == expected.dtype
                np.testing.assert_allclose(
                    backend.to_numpy(found), expected, tolerance, tolerance, err_msg=name + other
                )


def test_one_backend_serves_several_threads(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    expected = [run(seed=seed) for seed in range(4)]
    barrier = threading.Barrier(4)

    def work(seed: int) -> list[Any]:
        barrier.wait()
        return [run(seed=seed) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for results, alone in zip(pool.map(work, range(4)), expected, strict=True):
            for result in results:
                assert_same(result, alone)
    assert not warnings_of(caplog)


def test_memory_is_free_again_after_a_fit(backend: Backend, run: Any) -> None:
    def after_fits(count: int) -> int | None:
        for seed in range(count):
            run(sizes=(20, 64, 4), seed=seed)
        return backend.free_memory()

    assert after_fits(2) == after_fits(5)


def test_captures_allocate_no_memory(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("xpmlp.backends.cupy.backend")
    pool = importlib.import_module("cupy").get_default_memory_pool()
    capture_graph = module.capture_graph
    growth: list[int] = []

    def watched(*arguments: Any) -> Any:
        before = pool.used_bytes()
        graph = capture_graph(*arguments)
        growth.append(pool.used_bytes() - before)
        return graph

    monkeypatch.setattr(module, "capture_graph", watched)
    for seed in range(100):
        run(seed=seed, sizes=(20, 10 + 10 * seed, 4))
    assert growth == [0] * 200


# Settings, and the number of products, kernels and copies of a captured step.
NODES: dict[str, tuple[dict[str, Any], int]] = {
    "sgd": ({"optimizer": "sgd"}, 12),
    "momentum": ({"optimizer": "momentum"}, 12),
    "nesterov": ({"optimizer": "nesterov"}, 12),
    "adam": ({"optimizer": "adam"}, 12),
    "three layers, dropout": ({"sizes": (20, 32, 16, 4), "dropout": 0.2}, 17),
}


@pytest.mark.parametrize("name", NODES)
def test_an_epoch_is_launches_alone_and_a_step_has_few_of_them(
    name: str, backend: Backend, problem: Any, emulated: Any
) -> None:
    settings, nodes = NODES[name]
    training = problem(backend, **settings)
    with backend.scope():
        state, samples = training.start()
        order, rates = backend.asarray(training.orders[0]), backend.asarray(training.rates)

        def count_events(rows: int) -> dict[str, int]:
            emulated.reset_counts()
            result = backend.run_epoch(training.step, state, samples, order[:rows], rates[: rows // 32], 32)
            backend.synchronize(result[0])
            counts: dict[str, int] = emulated.counts()
            return counts

        count_events(128)
        short, long = count_events(96), count_events(128)
        backend.release_recordings()
    assert {name: n for name, n in long.items() if "Host" in name or "HtoD" in name or "DtoH" in name} == {}
    assert {name: n for name, n in long.items() if "synchronize" in name} == {"synchronize stream": 1}
    step = {name: n - short.get(name, 0) for name, n in long.items() if n != short.get(name, 0)}
    work = sum(n for name, n in step.items() if name.startswith(("kernel", "matrix product", "copy", "memset")))
    assert step["graph launch"] == 1
    assert work == nodes


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3}])
def test_a_population_is_its_networks(
    backend: Backend, problem: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], streamed: bool
) -> None:
    def train(case: Any) -> Any:
        with backend.scope():
            state = tree_map(backend.asarray, case.state)
            samples = place_samples(backend, case.samples, "float64")
            assert isinstance(samples, StreamedSamples) == (streamed and case is population)
            for order in case.orders:
                state, objectives = train_epoch(backend, case.step, state, samples, order, case.rates, 32)
            backend.release_recordings()
            return case.to_host((state.layers, objectives))

    population = problem(backend, models=(3,), dtype="float64", **settings)
    free_memory = backend.free_memory
    if streamed:
        monkeypatch.setattr(backend, "free_memory", lambda: 24_000)  # the samples take 28,800 bytes
    layers, objectives = train(population)
    monkeypatch.setattr(backend, "free_memory", free_memory)
    for index in range(3):
        alone = problem(backend, dtype="float64", **settings)
        alone.state = tree_map(lambda array, i=index: array[i] if array.ndim else array, population.state)
        alone.samples, alone.orders, alone.rates = population.samples, population.orders, population.rates
        found = tree_map(lambda array, i=index: array[i], (layers, objectives))
        assert_same(found, train(alone), 1e-9)


@pytest.mark.parametrize("loss", ["quantile", "huber", "gamma"])
def test_captured_epochs_are_numpys_also_call_by_call(backend: Backend, run: Any, targets_for: Any, loss: str) -> None:
    # No kernel writes the quantiles' gradients side by side.
    settings = {"loss": loss, "sizes": (20, 16, 3), "dtype": "float64", "targets_for": targets_for}
    assert_same(run(**settings), run(load_backend("numpy"), **settings), 1e-9)


@pytest.mark.slow
def test_hundreds_of_fits_while_garbage_is_collected(
    backend: Backend, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cases: list[dict[str, Any]] = [
        {"activation": activation, "optimizer": optimizer, "sizes": (64, width, 10)}
        for activation, optimizer, width in (("tanh", "sgd", 16), ("relu", "momentum", 24), ("logistic", "nesterov", 8))
    ]
    expected = [run(**case) for case in cases]
    stop = threading.Event()
    gc.collect()
    gc.freeze()  # so that collecting looks only at what the fits leave

    def collect() -> None:
        pauses = np.random.default_rng(0)
        while not stop.wait(pauses.uniform(0.0, 0.2)):
            gc.collect()

    def work(number: int) -> int:
        case = number % len(cases)
        own = load_backend("cupy") if number % 2 else backend
        result = run(own, **cases[case])
        garbage: list[Any] = [own, result]
        garbage.append(garbage)
        assert_same(result, expected[case])
        return number

    with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(1) as collector:
        collector.submit(collect)
        try:
            list(pool.map(work, range(40)))
            gc.collect()
            before = backend.free_memory()
            assert sum(1 for _ in pool.map(work, range(200))) == 200
        finally:
            stop.set()
            gc.unfreeze()
        gc.collect()
    # More is free now if the other thread was collecting when `before` was read.
    after = backend.free_memory()
    assert before is not None
    assert after is not None
    assert after >= before
    assert not warnings_of(caplog)
