"""Several processes train the network that one process trains."""

import contextlib
import math
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.errors import DataError, SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.optimizers import adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.tree import tree_map
from xpmlp.training import Callback, EarlyStopping, FitResult, Run, constant, fit
from xpmlp.training.distributed import Communicator, OwnRows
from xpmlp.training.distributed_batches import Share


class Place:
    """Stands for one of several processes."""

    def __init__(self, rank: int, size: int, everywhere: Sequence[Any] = ()) -> None:
        self.rank, self.size, self.everywhere = rank, size, everywhere

    def allgather(self, value: Any) -> Sequence[Any]:
        """Return the values of all processes."""
        return self.everywhere


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=5),
    batch_size=st.integers(1, 12),
    own=st.booleans(),
    seed=st.integers(0),
)
def test_the_shares_of_each_batch_are_the_batch(counts: list[int], batch_size: int, own: bool, seed: int) -> None:
    size, rows = len(counts), sum(counts)
    order = np.random.default_rng(seed).permutation(rows)[: rows - seed % 2]  # the others are held out
    steps, parts, first_rows = math.ceil(len(order) / batch_size), [], []
    for rank, count in enumerate(counts):
        place, fill = Place(rank, size, counts), count if own else rows
        share = Share(OwnRows(place, count) if own else Communicator(place), batch_size, fill)
        part = share.order(order).reshape(steps, share.rows)
        parts.append(np.where(part < fill, part + own * sum(counts[:rank]), -1))
        first_rows.append(share.first_row)
    assert len({part.shape for part in parts}) == 1  # all take the same steps
    assert first_rows == [rank * (batch_size if own else parts[0].shape[1]) for rank in range(size)]
    for step in range(steps):
        whole = np.concatenate([part[step] for part in parts])
        expected = order[step * batch_size : (step + 1) * batch_size].tolist()
        assert sorted(whole[whole >= 0].tolist()) == sorted(expected)
        assert own or whole[: len(expected)].tolist() == expected  # in order, on which dropout depends


def test_a_share_is_filled_up_with_a_row_that_weighs_nothing() -> None:
    samples = Samples(np.ones((3, 2)), np.ones((3, 1)))
    filled = Share(Communicator(Place(0, 2)), 2, fill=3).samples(samples)
    assert filled.weight is not None
    assert filled.weight.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert filled.rows == 4


# The tests below are for several processes: mpiexec -n 2 python -m pytest tests/training/test_distributed.py


@pytest.fixture(scope="module")
def processes() -> Communicator:
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE", os.environ.get("PMI_SIZE", "1"))) < 2:
        pytest.skip("needs mpiexec -n 2, as in nox -s mpi")
    return Communicator(pytest.importorskip("mpi4py.MPI").COMM_WORLD)


def train(
    communicator: Communicator | None,
    *,
    rows: int = 101,
    weighted: bool = False,
    dtype: str = "float64",
    hidden: int = 16,
    **changes: Any,
) -> FitResult:
    """Train the same network in every process, in several of them together if a communicator is given."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, 20))
    targets = np.eye(4)[generator.integers(4, size=rows)]
    weight = generator.uniform(0.0, 2.0, rows) if weighted else None
    usual: dict[str, Any] = {
        "layers": init_layers(np, generator, (20, hidden, 4), glorot_uniform(), dtype=getattr(np, dtype)),
        "activation": ACTIVATIONS["tanh"],
        "loss": LOSSES["softmax_cross_entropy"],
        "optimizer": sgd(),
        "schedule": constant(0.01),
        "epochs": 20,
        "batch_size": 32,
        "generator": generator,
        "validation": Samples(x[:31], targets[:31]),
        "backend": "numpy",
        "threads": 1,
        "communicator": communicator,
    }
    return fit(Samples(x, targets, weight), **usual | changes)


def numbers(result: FitResult) -> list[list[float]]:
    """Return the losses and accuracies of all epochs."""
    names = ("train_loss", "objective", "validation_loss", "validation_accuracy")
    return [[getattr(row, name) or 0.0 for name in names] for row in result.history]


@pytest.mark.parametrize(
    "problem",
    [
        {},
        {"optimizer": sgd(momentum=0.9, nesterov=True), "l2": 0.1, "weighted": True},
        {"optimizer": adam(), "l2": 0.1, "dropout": 0.3},
        {"rows": 128, "loss": LOSSES["squared_error"]},
        {"rows": 10, "batch_size": 200, "l2": 0.1},
        {"optimizer": sgd(momentum=0.9), "hidden": 2048},
        {"optimizer": adam(), "rows": 97, "batch_size": 96, "dropout": 0.3, "weighted": True, "backend": "torch"},
        pytest.param(
            {"optimizer": adam(), "rows": 97, "batch_size": 96, "weighted": True, "backend": "cupy"},
            marks=pytest.mark.gpu,
        ),
    ],
    ids=["sgd", "nesterov", "adam", "no trailing batch", "one batch", "large", "torch", "cupy"],
)
def test_processes_train_the_network_of_one(processes: Communicator, problem: dict[str, Any]) -> None:
    pytest.importorskip(problem.get("backend", "numpy"))
    together, alone = train(processes, **problem), train(None, **problem)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), together.layers, alone.layers)
    np.testing.assert_allclose(numbers(together), numbers(alone), atol=1e-10)
    bits = processes.mpi.allgather(b"".join(array.tobytes() for layer in together.layers for array in layer))
    assert len(set(bits)) == 1


def test_the_engine_executes_steps_that_are_combined(processes: Communicator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "xpmlp")
    train(processes, dtype="float32", epochs=30)
    assert "call by call" not in caplog.text


def test_large_arrays_are_summed_without_shared_memory(
    processes: Communicator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = train(processes, hidden=2048, epochs=3)
    assert not processes.sums  # released
    monkeypatch.setattr("xpmlp.training.shared_memory.FOLDER", "/no such folder")
    by_messages = train(processes, hidden=2048, epochs=3)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), shared.layers, by_messages.layers)


def test_all_stop_where_one_would(processes: Communicator) -> None:
    settings: dict[str, Any] = {"optimizer": adam(), "epochs": 200, "schedule": constant(0.1)}
    together, alone = (
        train(where, **settings, callbacks=[EarlyStopping(2, min_delta=0.05)]) for where in (processes, None)
    )
    assert len(together.history) == len(alone.history) < 200
    assert together.kept_epoch == alone.kept_epoch


def test_all_stop_when_one_is_interrupted_or_has_a_reason(processes: Communicator) -> None:
    class InLast(Callback):
        def __init__(self, act: Callable[[Run], object]) -> None:
            self.act = act

        def on_epoch_end(self, run: Run) -> None:
            if processes.rank == processes.size - 1 and len(run.history) == 3:
                self.act(run)

    stopped = train(processes, callbacks=[InLast(lambda run: run.stop("enough"))])
    assert (len(stopped.history), stopped.stop_reason, stopped.interrupted) == (3, "enough", False)
    interrupted = train(processes, callbacks=[InLast(lambda run: os.kill(os.getpid(), signal.SIGINT))])
    assert (len(interrupted.history), interrupted.interrupted) == (3, True)


def test_a_failure_of_one_is_raised_by_all(processes: Communicator) -> None:
    last = processes.size - 1

    def fail() -> None:
        if processes.rank == last:
            raise DataError("no such file")

    with pytest.raises(DataError, match=f"process {last} of {processes.size}: no such file"):
        processes.together(fail)
    with pytest.raises(SettingsError, match=f"seed: is 0 in process 0, but {last} in process {last}"):
        processes.compare({"dtype": "float32", "seed": processes.rank if processes.rank == last else 0})


def test_what_cannot_be_shared_is_refused(processes: Communicator) -> None:
    with pytest.raises(SettingsError, match=r"batch_size: 1 rows are too few"):
        train(processes, batch_size=1)
    with contextlib.suppress(ImportError):
        import jax  # noqa: F401

        with pytest.raises(SettingsError, match="backend jax: compiles an epoch as a whole"):
            train(processes, backend="jax")


def test_processes_share_the_trials_of_a_sweep(processes: Communicator) -> None:
    pytest.importorskip("optuna")
    from xpmlp.training import Recipe
    from xpmlp.training.sweep import Space, sweep

    recipe = Recipe(hidden_layer_sizes=(8,), optimizer="adam", batch_size=32, epochs=10, dtype="float64")
    space: Space = {"learning_rate": [0.001, 0.003, 0.01, 0.03, 0.1]}
    told: list[int] = []
    together = sweep(
        "iris", space, recipe=recipe, sampler="grid", communicator=processes, on_trial=lambda t: told.append(t.number)
    )
    alone = sweep("iris", space, recipe=recipe, sampler="grid")
    assert together.best.settings == alone.best.settings
    assert sorted(trial.settings["learning_rate"] for trial in together.trials) == space["learning_rate"]
    scores = {trial.settings["learning_rate"]: trial.score for trial in together.trials}
    assert scores == pytest.approx({trial.settings["learning_rate"]: trial.score for trial in alone.trials})
    assert len(told) == (5 if processes.rank == 0 else 0)
