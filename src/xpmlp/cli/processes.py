"""``mpiexec -n 4 xpmlp train …``: what the processes of one command say, read and write together."""

from pathlib import Path
from typing import Any, NoReturn

from xpmlp import __version__
from xpmlp.backends import Backend
from xpmlp.datasets import ByteSplit, Dataset, Split, TableOptions
from xpmlp.datasets.load import load_by_options
from xpmlp.errors import SettingsError
from xpmlp.training import Recipe
from xpmlp.training.distributed import Communicator, connect, digest

from .console import place_among_processes, print_as_process


def connect_processes(*, required: bool) -> Communicator:
    """Return the processes that a launcher started together with this one.

    Raises
    ------
    SettingsError
        If they are required, and no launcher has started this process.
    """
    place = place_among_processes()
    if place is None:
        if required:
            raise SettingsError("--mpi: no MPI launcher has started this process. Run: mpiexec -n 2 xpmlp train …")
        return Communicator()
    return connect() if place[1] > 1 else Communicator()


def abort(communicator: Communicator, error: BaseException) -> NoReturn:
    """Print the error of this process, and end all: the others wait for it, and would do so for ever."""
    if communicator.size == 1:
        raise error
    print_as_process(communicator.rank, communicator.size, f"{type(error).__name__}: {error}")
    communicator.mpi.Abort(1)
    raise SystemExit(1)


def load_together(
    processes: Communicator, data: str, data_dir: Path | None, options: TableOptions, memory: str | None
) -> Dataset:
    """Load the same data in every process."""

    def load() -> Dataset:
        return load_by_options(data, data_dir, options, memory)

    loaded = None
    if data == "mnist" and data_dir is None:  # the first goes first, as it may have to download them
        loaded = processes.together(lambda: load() if processes.rank == 0 else None)
    return processes.together(lambda: loaded or load())


def describe_inputs(dataset: Dataset, settings: Recipe, backend: Backend) -> dict[str, Any]:
    """Return what must be the same in every process."""

    def rows(split: Split) -> str:
        return digest(split.stored if isinstance(split, ByteSplit) else split.x, split.labels)

    return {
        "version of xpmlp": __version__,
        "backend": backend.describe()["backend"],
        **settings.to_json(),
        "training rows": rows(dataset.train),
        "test rows": rows(dataset.test),
    }
