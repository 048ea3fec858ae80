"""An epoch made of captured steps."""

import math
import threading
from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Integer

from xpmlp.nn.samples import Samples
from xpmlp.nn.step import State, Step

from .captured_step import DeviceStep, HostStep


class CapturedEpoch(threading.local):
    """Executes captured steps: one for full batches, one for a smaller last batch.

    Both are kept for as long as the same step is taken on the same data, or until they are released. A captured step
    computes in buffers of its own, so every thread has its own.

    Parameters
    ----------
    capture
        Returns a function that does what the step's `run` does. It may call `run` to warm up; what that leaves in the
        buffers is overwritten.
    kind
        Of the captured steps.
    run_eagerly
        `Backend.run_epoch`'s plain loop, for the first steps; None to capture from the first step on.
    eager_steps
        A batch size is captured once a network has used it more often than that; several at once, correspondingly
        earlier.
    """

    def __init__(
        self,
        xp: Any,
        capture: Callable[[Any], Callable[[], None]],
        *,
        kind: type[DeviceStep] | type[HostStep] = DeviceStep,
        run_eagerly: Callable[..., Any] | None = None,
        eager_steps: int = 0,
    ) -> None:
        self.xp = xp
        self.kind = kind
        self.capture = capture
        self.run_eagerly = run_eagerly
        self.eager_steps = eager_steps
        self.release()

    def release(self) -> None:
        """Release all captured steps, and the data that they read."""
        self.captured_for: tuple[Step, Samples, tuple[int, ...]] | None = None
        self.captured: dict[int, tuple[DeviceStep | HostStep, Callable[[], None]]] = {}
        self.steps_taken: dict[int, int] = {}

    def run(
        self,
        step: Step,
        state: State,
        samples: Samples,
        order: Integer[Any, "*groups rows"],
        learning_rates: Float[Any, "steps ..."],
        batch_size: int,
    ) -> tuple[State, Float[Any, "*models steps"]]:
        """Take one step for each batch; see `Backend.run_epoch`."""
        xp = self.xp
        models = state.layers[0].weight.shape[:-2]
        known_step, known_samples, known_models = self.captured_for or (None, samples, ())
        same_samples = all(known is array for known, array in zip(known_samples, samples, strict=True))
        if known_step is not step or not same_samples or known_models != models:
            self.release()
            self.captured_for = (step, samples, models)
        full = order.shape[-1] // batch_size
        objectives = []
        latest: DeviceStep | HostStep | None = None  # in whose buffers the state is
        for start, stop, size in ((0, full, batch_size), (full, full + 1, order.shape[-1] - full * batch_size)):
            if start == stop or size == 0:
                continue
            rows = order[..., start * batch_size : start * batch_size + (stop - start) * size]
            rates = learning_rates[start:stop, ...]
            self.steps_taken[size] = self.steps_taken.get(size, 0) + (stop - start) * math.prod(models)
            if self.run_eagerly is not None and self.steps_taken[size] <= self.eager_steps:
                state, latest = (state if latest is None else latest.copy_state()), None
                state, part = self.run_eagerly(step, state, samples, rows, rates, size)
            else:
                batches = xp.moveaxis(xp.reshape(rows, (*rows.shape[:-1], stop - start, size)), -2, 0)
                captured = self.captured.get(size)
                if captured is None or captured[0].steps < stop - start:
                    new = self.kind(xp, step, state, samples, batches, rates)
                    captured = self.captured[size] = (new, self.capture(new))
                captured[0].load_state(state)
                part = captured[0].execute(captured[1], batches, rates)
                latest, state = captured[0], captured[0].state
            objectives.append(part)
        state = state if latest is None else latest.copy_state()
        return state, objectives[0] if len(objectives) == 1 else xp.concat(objectives, axis=-1)
