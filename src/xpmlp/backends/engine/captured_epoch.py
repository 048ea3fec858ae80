"""An epoch out of recordings of its steps."""

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float, Integer

from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState

from .captured_step import CapturedStep

logger = logging.getLogger(__name__)

CAPTURING = threading.Lock()


class CapturedEpoch(threading.local):
    """An epoch that plays recordings of its steps: one of a full batch, one of a smaller last one.

    Both are recorded when first needed, and kept for as long as the same step is taken on the same data, or until they
    are to be forgotten. A recording computes in memory of its own, so every thread has its own.

    Parameters
    ----------
    record
        Takes a `CapturedStep` and returns a function that does on the device what the step's `run` does. It may call
        `run`, after a `rewind`, to warm up; what that leaves behind is written over.
    """

    def __init__(self, xp: Any, record: Callable[[CapturedStep], Callable[[], None]]) -> None:
        self.xp = xp
        self.record = record
        self.recorded_for: tuple[Step, Samples] | None = None
        self.recordings: dict[int, tuple[CapturedStep, Callable[[], None]]] = {}
        self.steps = 0

    def forget(self) -> None:
        """Drop all recordings, and the data that they were made on."""
        self.recorded_for = None
        self.recordings.clear()
        self.steps = 0

    def count(self, step: Step, samples: Samples, steps: int) -> int:
        """Return how often, with the next so many, that step has been asked for on the same data."""
        self.forget_others(step, samples)
        self.steps += steps
        return self.steps

    def run(
        self,
        step: Step,
        state: TrainingState,
        samples: Samples,
        order: Integer[Any, " rows"],
        learning_rates: Float[Any, " steps"],
        batch_size: int,
    ) -> tuple[TrainingState, Float[Any, "*models steps"]]:
        """Take one step for each batch; see `Backend.run_epoch`."""
        xp = self.xp
        self.forget_others(step, samples)
        rows = order.shape[0]
        full = rows // batch_size
        objectives = []
        for start, stop, size in ((0, full, batch_size), (full, full + 1, rows - full * batch_size)):
            if start < stop and size > 0:
                first = start * batch_size
                batches = xp.reshape(order[first : first + (stop - start) * size], (stop - start, size))
                rates = learning_rates[start:stop]
                static, play = self.recording(step, state, samples, batches, rates)
                static.load(state, batches, rates)
                for _ in range(start, stop):
                    play()
                state, part = static.result(stop - start)
                objectives.append(part)
        return state, objectives[0] if len(objectives) == 1 else xp.concat(objectives, axis=-1)

    def recording(
        self, step: Step, state: TrainingState, samples: Samples, batches: Any, learning_rates: Any
    ) -> tuple[CapturedStep, Callable[[], None]]:
        """Return the recording for batches of that size, made now where there is none that is long enough."""
        steps, size = batches.shape
        known = self.recordings.get(size)
        if known is None or known[0].batches.shape[0] < steps:
            static = CapturedStep(self.xp, step, state, samples, batches, learning_rates)
            known = self.recordings[size] = (static, self.record(static))
        return known

    def forget_others(self, step: Step, samples: Samples) -> None:
        """Drop what was recorded of another step, or on other data."""
        if self.recorded_for is None or not (
            self.recorded_for[0] is step and same_arrays(self.recorded_for[1], samples)
        ):
            self.forget()
            self.recorded_for = (step, samples)


@contextmanager
def exclusive_capture() -> Iterator[None]:
    """Capture in one thread at a time, without garbage collection, whose finalizers may call the device."""
    with CAPTURING:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_enabled:
                gc.enable()


def take_eager_steps(static: CapturedStep, backend: str, error: Exception) -> Callable[[], None]:
    """Return a function that takes a step which could not be captured, and log why."""
    logger.warning(
        "backend %s: this step cannot be captured (%s: %s). It is taken eagerly, which is several times slower.",
        *(backend, type(error).__name__, str(error).strip().rstrip(".")),
    )
    return static.run


def same_arrays(first: Samples, second: Samples) -> bool:
    """Tell whether samples are the very same arrays."""
    return all(a is b for a, b in zip(first, second, strict=True))
