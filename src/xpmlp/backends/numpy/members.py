"""Ensembles larger than the processor's cache, trained a few members at a time, in several Python threads.

In a step of all members, the arrays would leave the cache between two operations, and elementwise ones would take two
to three times as long.
"""

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from xpmlp.nn.step import State, Step, step_bytes
from xpmlp.nn.tree import tree_map
from xpmlp.threads import limit_threads, threads_in_use, use_threads

CACHE_BYTES = 6 * 2**20  # of networks that a core trains at once: beyond, a step waits for memory


def count_parts(state: State, batch_size: int) -> int:
    """Return in how many parts to train an ensemble: equal ones, which one recording serves."""
    members = len(state.layers[0].weight)
    network, row = step_bytes(state.layers)
    needed = min(math.ceil((network + batch_size * row) / CACHE_BYTES), members)
    return next(count for count in range(needed, members + 1) if members % count == 0)


def split_state(state: State, count: int) -> list[State]:
    """Return the states of equal parts of an ensemble; that of one network has no leading axis."""

    def take(array: Any, index: int) -> Any:
        if array.ndim == 0:  # a number, such as Adam's count of steps, belongs to all
            return array
        part = array.reshape(count, -1, *array.shape[1:])[index]
        return part if len(part) > 1 else part[0, ...]

    return [tree_map(lambda array, i=index: take(array, i), state) for index in range(count)]


class MemberWorkers(threading.local):
    """Python threads, each with recordings of its own, that train parts of an ensemble; other ones for each caller."""

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None

    def release(self) -> None:
        """End the threads, and with them their recordings."""
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None

    def run_epoch(
        self, run_epoch: Callable[..., tuple[State, Any]], count: int, step: Step, state: State, *arguments: Any
    ) -> tuple[State, Any]:
        """Take one step for each batch with every part of an ensemble; see `Backend.run_epoch`."""

        def train(part: State) -> tuple[State, Any]:
            with use_threads(1), np.errstate(all="ignore"):
                return run_epoch(step, part, *arguments)

        self.pool = self.pool or ThreadPoolExecutor(min(threads_in_use(), count), "xpmlp-members")
        # OpenBLAS takes its number of threads back only from the Python thread that set it: this, the last to leave.
        with limit_threads(1):
            futures = [self.pool.submit(train, part) for part in split_state(state, count)]
            try:
                states, objectives = zip(*(future.result() for future in futures), strict=True)
            finally:
                for future in futures:
                    future.cancel()
                wait(futures)

        def join(array: Any, *parts: Any) -> Any:
            return np.stack(parts).reshape(array.shape) if array.ndim else parts[0]

        joined = np.stack(objectives)
        return tree_map(join, state, *states), joined.reshape(-1, joined.shape[-1])
