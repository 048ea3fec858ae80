"""NumPy, on the CPU: steps executed by the engine, matrix products in as many threads as they are worth."""

import functools
import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import ThreadpoolController

from xpmlp.backends.base import Backend
from xpmlp.backends.devices import Device
from xpmlp.backends.engine import NotTraceableError, Tracer, make_plan
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import HostStep, overwrite
from xpmlp.backends.engine.tracing import TracedArray, trace_update
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import ComposedStep, State, Step
from xpmlp.nn.tree import tree_map
from xpmlp.threads import RUNS, available_threads, describe_threads, limit_threads, threads_in_use

from .in_place import InPlaceStep, has_large_weights
from .members import MemberWorkers, count_parts

logger = logging.getLogger(__name__)

# Planning takes as long as some fifty steps of a small network, and saves a third of each.
EAGER_STEPS = 50
OTHER_LEARNING_RATE = 0.4142  # times the learning rate, to check a plan: no schedule comes to that by chance
# Below so many operations, handing a part of a matrix product to another thread and waiting for it costs more than it
# saves; on a busy machine, where the other thread waits for a core, a hundred times more.
OPERATIONS_WORTH_THREADS = 8_000_000
# Below so many, OpenBLAS uses one thread by itself, and setting that costs a tenth of a small epoch.
OPERATIONS_IN_ONE_THREAD = 500_000
ELEMENTS_IN_ONE_THREAD = 10_000  # of a sum of two arrays
OPERATIONS_OF_A_TRIAL = 100_000_000  # one to two milliseconds


class NumpyBackend(Backend):
    """NumPy's arrays, which live in the host's memory.

    Raises
    ------
    SettingsError
        For a device other than ``"cpu"``.
    """

    name: ClassVar[str] = "numpy"
    gathers_bytes = True
    trains_in_threads = True

    def __init__(self, device: str | None = None) -> None:
        if device not in (None, "cpu"):
            raise SettingsError(f"device {device!r}: NumPy has only cpu. Use another backend, such as torch or jax.")
        super().__init__(np, "cpu")
        self.captured = CapturedEpoch(
            np, capture_step, kind=HostStep, run_eagerly=super().run_epoch, eager_steps=EAGER_STEPS
        )
        self.untraceable: Step | None = None
        self.workers = MemberWorkers()

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return the one device: the processor that Python runs on."""
        return (Device("cpu", "processor"),)

    def scope(self) -> AbstractContextManager[object]:
        """Silence NumPy's overflow warnings: on every library alike, overflow is detected at the end of an epoch."""
        return np.errstate(all="ignore")

    def update_on_host(self, update: Callable[[Any], None], array: Any) -> Any:
        """Change an array in place; while a step is traced, that becomes one of its ops."""
        if isinstance(array, TracedArray):
            return trace_update(array.tracer, update, array)
        return super().update_on_host(update, array)

    def run_epoch(
        self, step: Step, state: State, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[State, Any]:
        """Take one step for each batch; see `Backend.run_epoch`.

        A step that is taken often on the same data is executed by the engine, and large weights are updated in place,
        with the same results to the bit.
        """
        arguments = (step, state, samples, order, learning_rates, batch_size)
        with self.threads_for(state.layers, batch_size):
            if isinstance(step, ComposedStep) and step.optimizer.elementwise and has_large_weights(state.layers):
                return super().run_epoch(InPlaceStep(step), *arguments[1:])
            if step is not self.untraceable and all(isinstance(array, np.ndarray) for array in samples.arrays):
                try:
                    return self.captured.run(*arguments)
                except NotTraceableError as error:
                    logger.debug("backend numpy: every step is run call by call, because %s.", error)
                    self.untraceable = step
                    self.release_recordings()
            return super().run_epoch(*arguments)

    def run_ensemble_epoch(
        self, step: Step, state: State, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[State, Any]:
        """Take one step for each batch, with as many members at once as fit into the cache; see `run_epoch`."""
        arguments = (step, state, samples, order, learning_rates, batch_size)
        parts = count_parts(state, batch_size)
        return self.run_epoch(*arguments) if parts == 1 else self.workers.run_epoch(self.run_epoch, parts, *arguments)

    def release_recordings(self) -> None:
        """Release the captured steps."""
        self.captured.release()
        self.workers.release()

    def threads_for(self, layers: Layers, rows: int) -> AbstractContextManager[object]:
        """Return a context in which small matrix products run in one thread, and large ones in those of the run."""
        elements = max(math.prod(layer.weight.shape[-2:]) for layer in layers)  # each network has a product of its own
        operations = 2 * rows * elements
        if operations <= OPERATIONS_IN_ONE_THREAD and elements <= ELEMENTS_IN_ONE_THREAD:
            return nullcontext()
        return limit_threads(threads_in_use() if operations >= OPERATIONS_WORTH_THREADS else 1)

    def run_threads(self, layers: Layers, rows: int, threads: int | None) -> AbstractContextManager[int]:
        """Return a context for a run; see `Backend.run_threads`. If all its products are small, it has one thread."""
        weight = max((layer.weight for layer in layers), key=np.size)
        weight = weight[(0,) * (weight.ndim - 2)]
        rows = min(rows, max(1, OPERATIONS_OF_A_TRIAL // (2 * weight.size)))
        x = np.ones((rows, weight.shape[-2]), weight.dtype)
        is_large = 2 * rows * weight.size >= OPERATIONS_WORTH_THREADS
        return RUNS.begin(threads, lambda: np.matmul(x, weight), available_threads() if is_large else 1)

    @functools.cached_property
    def thread_pools(self) -> ThreadpoolController:
        """The linear algebra libraries of this process, looked up once."""
        return ThreadpoolController()

    def linear_algebra(self) -> str | None:
        """Return the library that computes NumPy's matrix products, and its threads."""
        for pool in self.thread_pools.info():
            if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
                return describe_pool(pool)
        return next((describe_pool(pool) for pool in self.thread_pools.info() if pool["user_api"] == "blas"), None)


def capture_step(captured: HostStep) -> Callable[[], None]:
    """Trace a step, plan it, and return what executes the plan.

    Raises
    ------
    NotTraceableError
        If it cannot be traced, or the plan does not compute the same bits.
    """
    before = tree_map(np.copy, captured.state)
    tracer = Tracer()
    try:
        captured.map_buffers(tracer.trace).run()
        plan = make_plan(tracer.finish())
    finally:
        tracer.release()
    # On another batch and with another learning rate, to find inputs that the step treated as constants.
    captured.rows[...] = captured.rows[..., ::-1].copy()
    captured.learning_rate *= OTHER_LEARNING_RATE
    results = []
    for execute in (captured.run, plan.execute):
        if execute == plan.execute:
            captured.state = tree_map(plan.buffer_for, captured.state)
        tree_map(overwrite, captured.state, before)
        execute()
        results.append(tree_map(np.copy, (captured.state, captured.objective)))
    tree_map(refuse_difference, *results)
    return plan.execute


def refuse_difference(expected: Any, found: Any) -> None:
    """Refuse a plan whose results differ from the step's by a single bit."""
    if not np.array_equal(found, expected, equal_nan=True):
        raise NotTraceableError("the planned calls computed other numbers")


def describe_pool(pool: dict[str, Any]) -> str:
    """Return a library's name, version, and threads."""
    name = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}.get(pool["internal_api"], pool["internal_api"])
    version = ".".join((pool["version"] or "").split(".")[:3])
    return f"{name} {version}, {describe_threads(pool['num_threads'])}"
