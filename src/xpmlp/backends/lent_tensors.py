"""A small network's epoch on PyTorch's tensors, computed by NumPy in the memory that they are in.

A tensor of the CPU and an array of NumPy's can be one memory. A small step's time is mostly that of asking for its
operations: NumPy's calls are recorded, and need no dispatcher.
"""

import math
import threading
from typing import Any

import numpy as np
import torch

from xpmlp.backends.engine.captured_epoch import same_arrays
from xpmlp.backends.numpy.backend import NumpyBackend
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState
from xpmlp.nn.tree import tree_map

# Elements of the largest array that a step computes. On two cores NumPy was the quicker at six times as many, too; but
# PyTorch's elementwise functions work in several threads, which tells where there are more cores.
LARGEST_LENT = 2**18


def is_worth_lending(layers: Layers, batch_size: int) -> bool:
    """Tell whether a network is so small that NumPy is the quicker."""
    shapes = [layer.weight.shape for layer in layers]
    sizes: list[int] = [
        math.prod(shape) for shape in (*shapes, *((*shape[:-2], batch_size, shape[-1]) for shape in shapes))
    ]
    return max(sizes) <= LARGEST_LENT


class LentTensors(threading.local):
    """Lends tensors to NumPy's backend, epoch by epoch.

    What was lent of the samples is kept for the next epoch, because a recording belongs to the very arrays that it was
    made with; so every thread has its own.
    """

    def __init__(self) -> None:
        self.numpy = NumpyBackend()
        self.samples: Samples | None = None
        self.lent: Any = None

    def run_epoch(
        self, step: Step, state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        """Take one step for each batch; see `Backend.run_epoch`."""
        if self.samples is None or not same_arrays(self.samples, samples):
            self.samples, self.lent = samples, samples.map(lend)
        with self.numpy.scope(), self.numpy.in_threads(torch.get_num_threads()):
            lent_state, order, rates = tree_map(lend, (state, order, learning_rates))
            result = self.numpy.run_epoch(step, lent_state, self.lent, order, rates, batch_size)
        returned: tuple[TrainingState, Any] = tree_map(give_back, result)
        return returned

    def forget(self) -> None:
        """Drop what is kept for the next epoch."""
        self.samples = self.lent = None
        self.numpy.release_recordings()


def lend(tensor: torch.Tensor) -> np.ndarray:
    """Return NumPy's array in a tensor's memory."""
    array: np.ndarray = tensor.numpy(force=True)
    return array


def give_back(array: Any) -> torch.Tensor:
    """Return PyTorch's tensor in an array's memory; numbers, which NumPy makes of arrays without axes, are copied."""
    return torch.from_numpy(np.asarray(array))
