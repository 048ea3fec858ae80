"""Runs that end early, by Ctrl-C, divergence or a lack of memory: they keep what was learned."""

import itertools
import math
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import NumpyBackend
from xpmlp.errors import DeviceMemoryError, XpmlpError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import init_layers, normal
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import step_bytes
from xpmlp.training import Callback, DivergedError, FitResult, OutOfMemoryError, Run, constant, fit
from xpmlp.training.errors import describe_shortage

Fit = Callable[..., FitResult]


def assert_same_bits(actual: Layers, expected: Layers) -> None:
    for a, e in zip(itertools.chain(*actual), itertools.chain(*expected), strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (e.dtype, e.shape, e.tobytes())


# Ctrl-C


class InterruptedBackend(NumpyBackend):
    """Receives Ctrl-C in the middle of the given epoch, counted from 1."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch
        self.begun = 0

    def run_epoch(self, step: Any, *arguments: Any) -> tuple[Any, Any]:
        self.begun += 1
        steps = iter(range(100))

        def interrupted_step(*batch: Any) -> Any:
            if self.begun == self.epoch and next(steps) == 2:
                signal.raise_signal(signal.SIGINT)
            return step(*batch)

        return super().run_epoch(interrupted_step, *arguments)


@pytest.mark.parametrize("epoch", [1, 3])
def test_ctrl_c_inside_an_epoch_leaves_the_last_whole_one(small_fit: Fit, validation: Samples, epoch: int) -> None:
    start = small_fit(epochs=1).layers
    result = small_fit(layers=start, epochs=5, backend=InterruptedBackend(epoch), validation=validation)
    assert (result.interrupted, result.stop_reason) == (True, "interrupted")
    assert [row.epoch for row in result.history] == list(range(1, epoch))
    assert_same_bits(result.layers, start if epoch == 1 else small_fit(layers=start, epochs=epoch - 1).layers)


def test_ctrl_c_during_validation_leaves_the_epoch_before(small_fit: Fit, validation: Samples) -> None:
    loss = LOSSES["softmax_cross_entropy"]
    calls = itertools.count(1)

    def interrupted_hits(*arguments: Any) -> Any:
        assert loss.is_correct is not None
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return loss.is_correct(*arguments)

    result = small_fit(validation=validation, loss=loss._replace(is_correct=interrupted_hits))
    assert result.interrupted
    assert len(result.history) == 1
    assert_same_bits(result.layers, small_fit(epochs=1).layers)


# Diverging


def diverging(samples: Samples, **changes: Any) -> dict[str, Any]:
    """A regression whose squared error grows from epoch to epoch until float32 overflows."""
    generator = np.random.default_rng(0)
    return {
        "layers": init_layers(np, generator, (4, 5, 3), normal(scale=0.5), dtype=np.float32),
        "activation": ACTIVATIONS["relu"],
        "loss": LOSSES["squared_error"],
        "optimizer": sgd(),
        "schedule": constant(3.0),
        "epochs": 20,
        "batch_size": 50,
        "generator": np.random.default_rng(0),
    } | changes


@pytest.mark.parametrize("has_validation", [False, True])
def test_diverging_names_the_epoch_and_the_rate_and_keeps_the_epoch_before(
    samples: Samples, has_validation: bool
) -> None:
    validation, reasons = samples if has_validation else None, []

    class Watch(Callback):
        def on_fit_end(self, run: Run) -> None:
            reasons.append(run.stop_reason)

    with pytest.raises(DivergedError, match=r"diverged in epoch \d+.* learning rate was 3; use a smaller") as caught:
        fit(samples, **diverging(samples, validation=validation, callbacks=[Watch()]))
    assert reasons == ["diverged"]
    error = caught.value
    assert isinstance(error, XpmlpError)
    assert 2 <= error.epoch < 20
    assert f"epoch {error.epoch}:" in str(error)
    assert (error.result.stop_reason, error.result.interrupted) == ("diverged", False)
    assert len(error.result.history) == error.epoch - 1
    shorter = fit(samples, **diverging(samples, validation=validation, epochs=error.epoch - 1))
    assert_same_bits(error.result.layers, shorter.layers)


@pytest.mark.parametrize(("rate", "named"), [(1e5, r"1e\+05"), (7e4, r"7e\+04"), (1e39, r"1e\+39")])
def test_diverging_in_the_first_epoch_names_its_highest_rate_and_keeps_the_network_as_it_was_handed_in(
    samples: Samples, rate: float, named: str
) -> None:
    arguments = diverging(samples, schedule=lambda step, steps: rate if step == 3 else 1e3, batch_size=5)
    with pytest.raises(DivergedError, match=f"epoch 1: .* rate was {named}") as caught:
        fit(samples, **arguments)
    assert (caught.value.epoch, caught.value.result.history) == (1, ())
    assert_same_bits(caught.value.result.layers, arguments["layers"])


@pytest.mark.parametrize("exponent", [0, 12, 18, 36])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_rate_of_any_size_trains_or_diverges_but_never_warns(
    samples: Samples, targets_for: Callable[..., Any], loss: str, exponent: int
) -> None:
    samples = samples._replace(targets=targets_for(loss, samples.targets))
    # One step an epoch: weights may be finite, and yet so large that the validation overflows.
    changes = {"loss": LOSSES[loss], "schedule": constant(10.0**exponent), "epochs": 3, "l2": 0.1}
    try:
        result = fit(samples, **diverging(samples, **changes, validation=samples))
    except DivergedError as error:
        result = error.result
    assert all(np.isfinite(array).all() for layer in result.layers for array in layer)
    assert all(math.isfinite(loss or 0.0) for row in result.history for loss in (row.objective, row.validation_loss))


# Out of memory


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


def test_what_was_learned_before_memory_ran_out_is_kept(small_fit: Fit) -> None:
    with pytest.raises(OutOfMemoryError, match=r"too little memory on cpu\. A step needs about") as caught:
        small_fit(backend=SmallBackend(fails_in_epoch=3))
    error = caught.value
    assert (error.epoch, len(error.result.history), error.result.stop_reason) == (3, 2, "out of memory")
    assert_same_bits(error.result.layers, small_fit(epochs=2).layers)
    with pytest.raises(DeviceMemoryError, match=r"too little memory on cpu \(1.05 MB free\)"):  # even to begin
        small_fit(backend=SmallBackend(fails_in_epoch=0, free=2**20))


def test_another_error_stays_what_it_is(small_fit: Fit) -> None:
    class Broken(NumpyBackend):
        def run_epoch(self, *_: Any) -> Any:
            raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"):
        small_fit(backend=Broken())


def test_what_would_fit_is_named() -> None:
    small, large = (
        init_layers(np, np.random.default_rng(0), sizes, normal(), dtype=np.float32)
        for sizes in ((784, 128, 10), (784, 4096, 4096, 10))
    )
    fixed, per_row = step_bytes(small)
    text = describe_shortage(SmallBackend(1, free=fixed + 300 * per_row), small, 100_000)
    assert "batch of 100,000 rows" in text
    assert text.endswith("Use a smaller batch_size: 256 may fit.")
    text = describe_shortage(SmallBackend(1, free=2**20), large, 128)
    assert text.endswith("Use fewer or smaller hidden layers, or another device.")
    assert "481 MB for the network" in text  # 6 × (784 × 4096 + 4096² + 4096 × 10 + 8,202 biases) × 4 bytes


def test_a_loss_that_explodes_but_stays_finite_counts_as_diverged(small_fit: Callable[..., FitResult]) -> None:
    explode = {"loss": LOSSES["squared_error"], "activation": ACTIVATIONS["identity"], "optimizer": sgd(), "epochs": 9}
    with pytest.raises(DivergedError, match=r"in epoch \d: the loss is \d\S*e\+\d+\. The learning rate was 3") as error:
        small_fit(**explode, schedule=constant(3.0))
    assert all(np.isfinite(layer.weight).all() for layer in error.value.result.layers)
