"""The machine's limit: what an epoch asks for, and what the device can do at most."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xpmlp.backends import Backend, is_gpu
from xpmlp.data.placement import train_epoch
from xpmlp.nn.layers import Layer
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import TrainingState

REPEATS = 5
EMPTY_STEPS = 200


class Operations(NamedTuple):
    """What an epoch asks of a device at least: arithmetic operations, and bytes to and from its memory."""

    arithmetic: int
    traffic: int


@dataclass(frozen=True)
class Ceilings:
    """What a library on a device can do at most.

    Attributes
    ----------
    arithmetic
        Operations a second, in its own large matrix product.
    bandwidth
        Bytes a second, read and written, in its own large copy.
    launch
        Seconds of a step in which nothing is computed: what it costs to ask.
    """

    arithmetic: float
    bandwidth: float
    launch: float


class Limits(NamedTuple):
    """Seconds that an epoch takes at least, by what would hold it up: only the largest counts."""

    arithmetic: float
    traffic: float
    launch: float

    @property
    def seconds(self) -> float:
        """The limit."""
        return max(self)


def epoch_operations(sizes: tuple[int, ...], rows: int, itemsize: int) -> Operations:
    """Count what an epoch asks for.

    Of the arithmetic only the matrix products count: forward, the weights' gradients, and for all layers but the first
    the inputs' gradients. Of the memory's traffic only what no cache can save: each row is read once. Weights, and what
    a batch becomes on its way, may stay near the processor.
    """
    products = sum(a * b for a, b in itertools.pairwise(sizes))
    arithmetic = 2 * rows * (3 * products - sizes[0] * sizes[1])
    return Operations(arithmetic, itemsize * rows * (sizes[0] + sizes[-1]))


def limit_seconds(operations: Operations, ceilings: Ceilings, steps: int) -> Limits:
    """Return the seconds that an epoch takes at least."""
    return Limits(
        operations.arithmetic / ceilings.arithmetic,
        operations.traffic / ceilings.bandwidth,
        steps * ceilings.launch,
    )


def measure_ceilings(backend: Backend, dtype: str) -> Ceilings:
    """Measure a backend's ceilings, each as the best of some repeats."""
    large = is_gpu(backend.device_name)
    width, values = (8192, 2**28) if large else (1536, 2**24)
    generator = np.random.default_rng(0)
    xp = backend.xp
    with backend.scope():
        square = backend.asarray(generator.random((width, width), dtype=np.float32), dtype)
        long = backend.asarray(np.ones(values, np.float32), dtype)
        product = best_seconds(backend, lambda: xp.matmul(square, square))
        copy = best_seconds(backend, lambda: xp.add(long, long))
        return Ceilings(
            arithmetic=2 * width**3 / product,
            bandwidth=2 * values * np.dtype(dtype).itemsize / copy,
            launch=launch_seconds(backend, dtype),
        )


def best_seconds(backend: Backend, work: Callable[[], Any]) -> float:
    """Return the seconds of the quickest of some repeats, after one that does not count."""
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        result = work()
        backend.synchronize(TrainingState((Layer(result, result),), ()))
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def launch_seconds(backend: Backend, dtype: str) -> float:
    """Return the seconds that a step takes in which nothing is computed."""
    one = backend.asarray(np.ones((1, 1)), dtype)
    state = TrainingState((Layer(one, one),), ())
    samples = Samples(
        backend.asarray(np.ones((EMPTY_STEPS, 1)), dtype), backend.asarray(np.ones((EMPTY_STEPS, 1)), dtype)
    )

    def empty(xp: Any, state: TrainingState, *batch: Any) -> tuple[TrainingState, Any]:
        return state, batch[-1]

    def epoch() -> Any:
        order, rates = np.arange(EMPTY_STEPS), np.zeros(EMPTY_STEPS)
        return train_epoch(backend, empty, state, samples, order, rates, 1)[1]

    return best_seconds(backend, epoch) / EMPTY_STEPS
