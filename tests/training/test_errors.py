"""Too little memory is said in numbers, with what would fit, and loses nothing that was learned."""

from typing import Any

import numpy as np
import pytest

from xpmlp.backends import NumpyBackend
from xpmlp.errors import DeviceMemoryError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import OutOfMemoryError, constant, fit
from xpmlp.training.errors import describe_shortage, network_bytes, row_bytes


class SmallBackend(NumpyBackend):
    """A device that runs out of memory in the epoch of that number, from 1, or while data are moved to it."""

    def __init__(self, fails_in_epoch: int, free: int | None = None) -> None:
        super().__init__()
        self.epochs_left = fails_in_epoch
        self.free = free

    def asarray(self, array: Any, dtype: str | None = None) -> Any:
        if self.epochs_left == 0:
            raise MemoryError("no room for this")
        return super().asarray(array, dtype)

    def run_epoch(self, *arguments: Any) -> Any:
        self.epochs_left -= 1
        if self.epochs_left == 0:
            raise MemoryError("no room for that")
        return super().run_epoch(*arguments)

    def free_memory(self) -> int | None:
        return self.free


def layers(*sizes: int) -> Layers:
    return init_layers(np, np.random.default_rng(0), sizes, glorot_uniform(), dtype=np.float32)


def train(backend: NumpyBackend, epochs: int = 3) -> Any:
    samples = Samples(np.ones((20, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1] * 10])
    return fit(
        samples,
        layers=layers(4, 3, 2),
        activation=ACTIVATIONS["tanh"],
        loss=LOSSES["softmax_cross_entropy"],
        optimizer=sgd(),
        schedule=constant(0.1),
        epochs=epochs,
        batch_size=8,
        generator=np.random.default_rng(0),
        backend=backend,
    )


def test_what_was_learned_before_memory_ran_out_is_kept() -> None:
    with pytest.raises(OutOfMemoryError, match=r"too little memory on cpu\. A step needs about") as caught:
        train(SmallBackend(fails_in_epoch=3))
    error = caught.value
    assert (error.epoch, len(error.result.history), error.result.stop_reason) == (3, 2, "out of memory")
    for layer, expected in zip(error.result.layers, train(NumpyBackend(), epochs=2).layers, strict=True):
        np.testing.assert_array_equal(layer.weight, expected.weight)


def test_too_little_memory_even_to_begin_is_said_alike() -> None:
    with pytest.raises(DeviceMemoryError, match=r"too little memory on cpu \(1 MiB free\)"):
        train(SmallBackend(fails_in_epoch=0, free=2**20))


def test_another_error_stays_what_it_is() -> None:
    class Broken(NumpyBackend):
        def run_epoch(self, *_: Any) -> Any:
            raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"):
        train(Broken())


def test_a_batch_size_that_would_fit_is_named() -> None:
    network = layers(784, 128, 10)
    room = network_bytes(network) + 300 * row_bytes(network)
    text = describe_shortage(SmallBackend(1, free=room), network, 100_000)
    assert "batch of 100,000 rows" in text
    assert text.endswith("Use a smaller batch_size: 256 may fit.")


def test_where_no_batch_would_fit_the_network_is_to_be_smaller() -> None:
    network = layers(784, 4096, 4096, 10)
    text = describe_shortage(SmallBackend(1, free=2**20), network, 128)
    assert text.endswith("Use fewer or smaller hidden layers, or another device.")
    assert "458.6 MiB for the network" in text  # 6 × (784 × 4096 + 4096² + 4096 × 10 + 8,202 biases) × 4 bytes
