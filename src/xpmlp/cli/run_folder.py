"""The folder with the files of a run."""

import contextlib
import csv
import os
import tempfile
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from xpmlp.errors import DataError, OutputError, XpmlpError
from xpmlp.training import EpochRow
from xpmlp.whole_files import write_whole

from .figures import FIGURES

RUN_FILES = ("model.safetensors", "history.csv", "run.json", *FIGURES)
LAST_MODEL = "last.safetensors"  # the last epoch's weights, if these are not the best
OPTIONAL = ("test_loss", "test_accuracy")  # columns of history.csv that may be empty


class RunFolder:
    """A folder for the files of one run, each written whole or not at all.

    Parameters
    ----------
    path
        The folder; created if missing.
    force
        Whether to replace the files of an earlier run, each once its successor is ready. Other files are never touched.

    Attributes
    ----------
    created
        The folders created for this run, deepest first.
    saved
        The names of the files written.
    failures
        Why each of the others was not written, by name.
    fallback
        A temporary folder with the files that could not be written to `path`; None if there are none.
    rescued
        The names of those files.

    Raises
    ------
    OutputError
        If the folder holds a run and `force` is not given, or nothing can be written there: before the work, not after.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self.created: list[Path] = []
        self.saved: list[str] = []
        self.failures: dict[str, str] = {}
        self.fallback: Path | None = None
        self.rescued: list[str] = []
        try:
            self.check_content(force=force)
            self.create()
        except OSError as error:
            self.discard()
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}). Choose another --output."
            ) from error

    def check_content(self, *, force: bool) -> None:
        """Refuse an existing run, unless `force` is given, and anything that cannot be replaced."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path}: is a file, not a folder. Choose another --output.")
        earlier = self.present()
        if earlier and not force:
            raise OutputError(
                f"{path}: already holds a run ({', '.join(earlier)}). Choose another --output, or give --force to "
                "replace it."
            )
        blocked = [name for name in earlier if (path / name).is_dir()]
        if blocked:
            raise OutputError(f"{path / blocked[0]}: is a folder, but a file goes there. Choose another --output.")

    def create(self) -> None:
        """Create the folder and its parents, and check that it can be written to."""
        for folder in reversed((self.path, *self.path.parents)):
            # Another run may create the same folder at this moment: runs/ when several are started together.
            with contextlib.suppress(FileExistsError):
                if not folder.exists():
                    folder.mkdir()
                    self.created.insert(0, folder)
        descriptor, probe = tempfile.mkstemp(dir=self.path, prefix=".xpmlp-")
        os.close(descriptor)
        os.unlink(probe)

    def present(self) -> list[str]:
        """Return the names of a run's files that exist now."""
        return [name for name in (*RUN_FILES, LAST_MODEL) if (self.path / name).exists()]

    def save(self, name: str, make: Callable[[], bytes]) -> None:
        """Make and write one file of the run; a failure is recorded, so that the other files are saved.

        An earlier file of that name then stays as it was, and the content goes to the fallback folder.
        """
        try:
            content = make()
        except XpmlpError as error:
            self.failures[name] = str(error)
            return
        except MemoryError as error:
            self.failures[name] = f"{self.path / name}: there is not enough memory to make it ({error})."
            return
        try:
            write_whole(self.path / name, content)
        except OutputError as error:
            self.failures[name] = str(error)
            self.rescue(name, content)
        else:
            self.saved.append(name)

    def rescue(self, name: str, content: bytes) -> None:
        """Write a file to the fallback folder, if possible."""
        try:
            fallback = self.fallback or Path(tempfile.mkdtemp(prefix="xpmlp-"))
        except OSError:
            return
        try:
            write_whole(fallback / name, content)
        except OutputError:
            if self.fallback is None:
                with contextlib.suppress(OSError):
                    fallback.rmdir()
        else:
            self.fallback = fallback
            self.rescued.append(name)

    def finish(self) -> None:
        """Remove what is left of an earlier run.

        Raises
        ------
        OutputError
            If a file was not written: its name, why, and which files there are.
        """
        leftover = [name for name in self.present() if name not in self.saved]
        if self.failures:
            message = f"Not saved: {', '.join(self.failures)}. {self.describe()}"
            if self.rescued:
                message += f" Saved in {self.fallback} instead: {', '.join(self.rescued)}."
            if leftover:
                message += f" Left from an earlier run: {', '.join(leftover)}."
            # The reasons come last, as they end in the remedy. Files may share one; then one of them is named.
            reasons: dict[str, str] = {}
            for name, reason in self.failures.items():
                reasons.setdefault(reason.removeprefix(f"{self.path / name}: "), reason)
            message += f" {' '.join(reasons.values())}"
            raise OutputError(message)
        for name in leftover:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()

    def describe(self) -> str:
        """Return which files were saved where."""
        return f"Saved in {self.path}: {', '.join(self.saved) or 'nothing'}."

    def discard(self) -> None:
        """Remove the folders created for this run, if they are empty."""
        for folder in self.created:
            with contextlib.suppress(OSError):
                folder.rmdir()


def make_run_folder(data_name: str, parent: Path = Path("runs")) -> RunFolder:
    """Create a new folder under `parent`, named after the data and the time."""
    stem = f"{data_name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path, number = parent / stem, 1
    while True:
        if not path.exists():
            folder = RunFolder(path)
            # If another process created it at this moment, it belongs to that one.
            if path in folder.created:
                return folder
        number += 1
        path = parent / f"{stem}-{number}"


def read_history(path: Path) -> list[EpochRow]:
    """Read a ``history.csv``.

    Raises
    ------
    DataError
        If it cannot be read, with the line that is not an epoch.
    """
    names = [field.name for field in fields(EpochRow)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}). Give a folder written by xpmlp train.") from error
    missing = [name for name in names if name not in columns]
    if missing:
        raise DataError(f"{path}: is not a history of xpmlp train: it has no column {', '.join(missing)}.")
    history = []
    for number, line in enumerate(lines, start=2):
        try:
            values = {name: float(line[name]) if line[name] or name not in OPTIONAL else None for name in names}
            history.append(EpochRow(**values | {"epoch": int(line["epoch"])}))  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: line {number} is not an epoch ({error}). The file is damaged.") from error
    if not history:
        raise DataError(f"{path}: has no epochs.")
    return history
