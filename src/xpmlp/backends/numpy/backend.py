"""NumPy, on the CPU: the eager loop, with as many threads as its matrix products are worth."""

import functools
import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import ThreadpoolController

from xpmlp.backends.base import Backend
from xpmlp.backends.counted_step import CountedStep
from xpmlp.backends.devices import Device
from xpmlp.backends.divided_products import OPERATIONS_WORTH_THREADS
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import CapturedStep, overwrite
from xpmlp.backends.recorded_calls import (
    Alternatives,
    NotRecordableError,
    Program,
    Recorder,
    copy_to_page,
    make_programs,
)
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState
from xpmlp.nn.tree import tree_map
from xpmlp.threads import RUNS, available_threads, describe_threads, limit_threads, threads_in_use

logger = logging.getLogger(__name__)

# Recording takes as long as some fifty steps of a small network, and saves a third of each.
STEPS_WITHOUT_RECORDING = 50
OTHER_RATE = 0.4142  # times the learning rate, when a recording is tried: no schedule comes to that by itself
OTHER_CHANGE = 0.1  # of what a step changes: Adam steps as far for a gradient that is nothing but rounding
ROUNDINGS = 16
# Below so many, OpenBLAS stays in one thread of its own accord, and telling it to costs a tenth of a small epoch.
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

    def __init__(self, device: str | None = None) -> None:
        if device not in (None, "cpu"):
            raise SettingsError(f"device {device!r}: NumPy has only cpu. Use another backend, such as torch or jax.")
        super().__init__(np, "cpu")
        # Whoever goes on from a checkpoint takes the first steps of short epochs unrecorded; the end is to be the same.
        self.recorded_short = CapturedEpoch(np, functools.partial(self.record, rounding_less=False))
        self.recorded_long = CapturedEpoch(np, functools.partial(self.record, rounding_less=True))
        self.unrecordable: Step | None = None

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return the one device: the processor that Python runs on."""
        return (Device("cpu", "processor"),)

    def scope(self) -> AbstractContextManager[object]:
        """Keep NumPy alone from warning of what is found at the end of an epoch on every library alike: overflow."""
        return np.errstate(all="ignore")

    def run_epoch(
        self, step: Step, state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        """Take one step for each batch; see `Backend.run_epoch`.

        A step that is taken often on the same data is recorded, and its calls are made again without the mathematics
        being gone through again. Of a long epoch all steps are; of short ones those after the first few, with results
        that are the same to the bit.
        """
        with self.threads_for(state.layers, batch_size):
            if step is not self.unrecordable and all(isinstance(array, np.ndarray) for array in samples.arrays):
                try:
                    return self.run_recorded(step, state, samples, order, learning_rates, batch_size)
                except NotRecordableError as error:
                    logger.debug("backend numpy: the step is not recorded, because %s.", error)
                    self.unrecordable = step
                    self.release_recordings()
            return super().run_epoch(step, state, samples, order, learning_rates, batch_size)

    def run_recorded(
        self, step: Step, state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        """Take one step for each batch, recorded where that is worth its while.

        Raises
        ------
        NotRecordableError
            Where the step cannot be recorded.
        """
        steps = len(learning_rates)
        if steps <= STEPS_WITHOUT_RECORDING:
            often = self.recorded_short.count(step, samples, steps) > STEPS_WITHOUT_RECORDING
            run = self.recorded_short.run if often else super().run_epoch
            return run(step, state, samples, order, learning_rates, batch_size)
        full = len(order) // batch_size
        rows = full * batch_size
        state, objectives = self.recorded_long.run(
            step, state, samples, order[:rows], learning_rates[:full], batch_size
        )
        if rows == len(order):
            return state, objectives
        # The smaller last batch, of which there is one in an epoch.
        state, last = super().run_epoch(step, state, samples, order[rows:], learning_rates[full:], batch_size)
        return state, np.concat([objectives, last], axis=-1)

    def record(self, static: CapturedStep, *, rounding_less: bool) -> Callable[[], None]:
        """Record a step as a list of NumPy's calls."""
        counted, programs = record_calls(static, rounding_less=rounding_less)
        check_recording(static, counted.bind(programs[0].play))
        return counted.bind(Alternatives(programs).play)

    def release_recordings(self) -> None:
        """Drop what `run_epoch` keeps for the next epoch."""
        self.recorded_short.forget()
        self.recorded_long.forget()

    def threads_for(self, layers: Layers, rows: int) -> AbstractContextManager[object]:
        """Return a context in which small matrix products run in one thread, and large ones in those of the run."""
        elements = max(math.prod(layer.weight.shape) for layer in layers)
        operations = 2 * rows * elements
        if operations <= OPERATIONS_IN_ONE_THREAD and elements <= ELEMENTS_IN_ONE_THREAD:
            return nullcontext()
        return limit_threads(threads_in_use() if operations >= OPERATIONS_WORTH_THREADS else 1)

    def run_threads(self, layers: Layers, rows: int, threads: int | None) -> AbstractContextManager[int]:
        """Return a context for a run; see `Backend.run_threads`. If all its products are small, it has one thread."""
        weight = max((layer.weight for layer in layers), key=np.size)
        rows = min(rows, max(1, OPERATIONS_OF_A_TRIAL // (2 * weight.size)))
        x = np.ones((rows, weight.shape[-2]), weight.dtype)
        is_large = 2 * rows * weight.size >= OPERATIONS_WORTH_THREADS
        return RUNS.begin(threads, lambda: np.matmul(x, weight), available_threads() if is_large else 1)

    @functools.cached_property
    def thread_pools(self) -> ThreadpoolController:
        """The linear algebra libraries of this process, looked for once."""
        return ThreadpoolController()

    def linear_algebra(self) -> str | None:
        """Return the library below NumPy that computes the matrix products, and its threads."""
        for pool in self.thread_pools.info():
            if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
                return describe_pool(pool)
        return next((describe_pool(pool) for pool in self.thread_pools.info() if pool["user_api"] == "blas"), None)

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        return {"backend": self.name, "library": f"numpy {np.__version__}", "device": "cpu"}


def record_calls(static: CapturedStep, *, rounding_less: bool) -> tuple[CountedStep, tuple[Program, ...]]:
    """Return a step whose batches are counted on the host, and the programs each of which does what its `run` does.

    Raises
    ------
    NotRecordableError
        Where it cannot be recorded.
    """
    static.relocate(copy_to_page)
    counted, recorder = CountedStep(static), Recorder()
    try:
        counted.map(recorder.watch).run()
        programs = make_programs(recorder.finish(), rounding_less=rounding_less)
    finally:
        recorder.forget()
    counted.relocate(programs[0].place_of)
    return counted, programs


def check_recording(static: CapturedStep, play: Callable[[], None]) -> None:
    """Make sure that a recording does what the step does, on another batch and with another learning rate.

    Raises
    ------
    NotRecordableError
        Where it does not, because the step is not what it should be: a pure function, written in the Array API.
    """
    static.learning_rates[...] *= OTHER_RATE
    before = tree_map(np.copy, static.state)
    results = []
    for take_step in (static.run, play):
        tree_map(overwrite, static.state, before)
        static.next[...] = static.batches.shape[0] - 1
        take_step()
        results.append(tree_map(np.copy, (static.state, static.objectives)))
    # Not to the bit: elsewhere NumPy may compute the last elements of a piece in another way than those before.
    tree_map(refuse_difference, *results)
    (expected, _), (found, _) = results
    tree_map(refuse_other_change, before, expected, found)


def refuse_difference(expected: Any, found: Any) -> None:
    """Refuse an array that is not, but for rounding, what it should be."""
    if not (np.array_equal(found, expected) or np.allclose(found, expected, rtol=1e-3, atol=1e-4, equal_nan=True)):
        raise NotRecordableError("its calls, made again, came to other numbers")


def refuse_other_change(before: Any, expected: Any, found: Any) -> None:
    """Refuse an array that has changed by something else than it should have, however little that is."""
    if expected.dtype.kind == "f" and np.all(np.isfinite(expected)):
        change, difference, size = (np.linalg.norm(a) for a in (expected - before, found - expected, expected))
        if not difference <= OTHER_CHANGE * change + ROUNDINGS * np.finfo(expected.dtype).eps * size:
            raise NotRecordableError("its calls, made again, changed an array by other numbers")


def describe_pool(pool: dict[str, Any]) -> str:
    """Return a library's name, version, and threads."""
    name = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}.get(pool["internal_api"], pool["internal_api"])
    version = ".".join((pool["version"] or "").split(".")[:3])
    return f"{name} {version}, {describe_threads(pool['num_threads'])}"
