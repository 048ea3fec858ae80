"""The folder with the files of a run."""

import contextlib
import csv
import io
import os
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from datetime import datetime
from pathlib import Path

import msgspec

from xpmlp.errors import DataError, OutputError, XpmlpError
from xpmlp.training import EpochRow
from xpmlp.whole_files import lock_folder, read_whole, write_whole

from .figures import FIGURES

RUN_FILES = ("model.safetensors", "history.csv", "run.json", *FIGURES)
REQUIRED = [field.name for field in fields(EpochRow) if field.default is MISSING]  # columns of every history.csv
PAGE = "model.html"  # if it is asked for
LAST_MODEL = "last.safetensors"  # the last epoch's weights, if these are not the best


class RunFolder:
    """A folder for the files of one run, each written whole or not at all.

    Parameters
    ----------
    path
        The folder; created if missing.
    force
        Whether to replace the files of an earlier run, each once its successor is ready. Other files are never touched.

    new
        Whether the folder must be created.

    Raises
    ------
    FileExistsError
        If there is a folder that must be created.
    OutputError
        If the folder holds a run and `force` is not given, or nothing can be written there: before the work, not after.
    """

    def __init__(self, path: Path, *, force: bool = False, new: bool = False) -> None:
        self.path = path
        self.created: list[Path] = []  # folders created for this run, deepest first
        self.saved: list[str] = []
        self.failures: dict[str, str] = {}  # why the other files were not written
        self.fallback: Path | None = None  # a temporary folder with what could not be written to `path`
        self.rescued: list[str] = []  # the files in it
        self.unlock: Callable[[], object] = bool
        try:
            self.create(force=force, new=new)
        except (OutputError, FileExistsError):
            raise
        except OSError as error:
            self.discard()
            reason = error.strerror or error
            raise OutputError(f"{path}: cannot be written ({reason}). Choose another --output.") from error

    def create(self, *, force: bool, new: bool) -> None:
        """Create the folder and its parents; refuse what must not or cannot be replaced or written to."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path}: is a file, not a folder. Choose another --output.")
        for folder in (*reversed(path.parents), path):
            is_new = new and folder == path
            try:
                if is_new or not folder.exists():
                    folder.mkdir()
                    self.created.insert(0, folder)
            except FileExistsError:  # another run creates the same folder at this moment, such as runs/
                if is_new:
                    raise
        if (descriptor := lock_folder(path)) is not None:
            self.unlock = weakref.finalize(self, os.close, descriptor)
        earlier = self.present()
        if earlier and not force:
            raise OutputError(
                f"{path}: already holds a run ({', '.join(earlier)}). Choose another --output, or give --force to "
                "replace it."
            )
        for name in earlier:
            if (path / name).is_dir():
                raise OutputError(f"{path / name}: is a folder, but a file goes there. Choose another --output.")
        tempfile.NamedTemporaryFile(dir=path, prefix=".xpmlp-").close()

    def present(self) -> list[str]:
        """Return the names of a run's files that exist now."""
        return [name for name in (*RUN_FILES, LAST_MODEL, PAGE) if (self.path / name).exists()]

    def save(self, name: str, make: Callable[[], bytes]) -> None:
        """Make and write one file of the run; a failure is recorded, so that the other files are saved.

        An earlier file of that name then stays as it was, and the content goes to the fallback folder.
        """
        content = None
        try:
            content = make()
            write_whole(self.path / name, content)
            self.saved.append(name)
        except XpmlpError as error:
            self.failures[name] = str(error)
        except MemoryError as error:
            self.failures[name] = f"{self.path / name}: there is not enough memory to make it ({error})."
        if name in self.saved or content is None:
            return
        with contextlib.suppress(OSError):
            fallback = self.fallback or Path(tempfile.mkdtemp(prefix="xpmlp-"))
            try:
                write_whole(fallback / name, content)
            except OutputError:
                fallback.rmdir()  # fails if there are files in it
            else:
                self.fallback = fallback
                self.rescued.append(name)

    def finish(self) -> None:
        """Remove the files left of an earlier run; if a file was not written, raise an OutputError with the reason."""
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
        """Remove the folders created for this run, if they are empty, and let other processes use them."""
        for folder in self.created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self.unlock()


def make_run_folder(data_name: str, parent: Path = Path("runs")) -> RunFolder:
    """Create a new folder under `parent`, named after the data and the time."""
    stem = f"{data_name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path, number = parent / stem, 1
    while True:
        with contextlib.suppress(FileExistsError):
            return RunFolder(path, new=True)
        number += 1
        path = parent / f"{stem}-{number}"


def read_history(path: Path) -> list[EpochRow]:
    """Read a ``history.csv``; raise a DataError with the line that is not an epoch."""
    names = [field.name for field in fields(EpochRow)]
    try:
        reader = csv.DictReader(io.StringIO(read_whole(path).decode(), newline=""))
        columns = reader.fieldnames or ()
        lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}). Give a folder written by xpmlp train.") from error
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(f"{path}: is not a history of xpmlp train: it has no column {', '.join(missing)}.")
    history = []
    for number, line in enumerate(lines, start=2):
        try:
            row = msgspec.convert({name: line.get(name) or None for name in names}, EpochRow, strict=False)
        except msgspec.ValidationError as error:
            raise DataError(f"{path}: line {number} is not an epoch ({error}). The file is damaged.") from error
        # Earlier versions wrote the objective as train_loss.
        history.append(row if "objective" in columns else replace(row, objective=row.train_loss, train_loss=None))
    if not history:
        raise DataError(f"{path}: has no epochs.")
    return history
