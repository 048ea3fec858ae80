"""The folder that a run leaves its results in."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from xpmlp.errors import OutputError, XpmlpError
from xpmlp.whole_files import write_whole

from .pictures import PICTURES

RUN_FILES = ("model.safetensors", "history.csv", "run.json", *PICTURES)
LAST_MODEL = "last.safetensors"  # where the best weights are not the last


class RunFolder:
    """A folder for the files of one run, each written whole or not at all.

    Parameters
    ----------
    path
        The folder; made if it is not there.
    force
        Whether files of an earlier run may be replaced. They are, one by one, only once the new ones are ready; a
        file of the user's own is never touched.

    Attributes
    ----------
    made
        The folders that were made for this run, the deepest first.
    saved
        The names of the files that were written.
    failures
        What kept each of the others from being written, by name.
    refuge
        Another folder, of the system's temporary files, that holds what could not be written here; None where nothing
        had to go there.
    rescued
        The names of those files.

    Raises
    ------
    OutputError
        Where the folder holds a run and `force` is not given, or nothing can be written there. This is found here,
        before the work, not after it.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self.made: list[Path] = []
        self.saved: list[str] = []
        self.failures: dict[str, str] = {}
        self.refuge: Path | None = None
        self.rescued: list[str] = []
        try:
            self.check_content(force=force)
            self.make()
        except OutputError:
            raise
        except OSError as error:
            self.discard()
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}). Choose another --output."
            ) from error

    def check_content(self, *, force: bool) -> None:
        """Refuse to touch what is there already, save with `force` an earlier run."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path}: is a file, so it cannot be the run's folder. Choose another --output.")
        earlier = self.present()
        if earlier and not force:
            raise OutputError(
                f"{path}: already holds a run ({', '.join(earlier)}). Choose another --output, or give --force to "
                "replace it."
            )
        blocked = [name for name in earlier if (path / name).is_dir()]
        if blocked:
            raise OutputError(
                f"{path / blocked[0]}: is a folder where a file is to be written. Choose another --output."
            )

    def make(self) -> None:
        """Make the folder, with those above it, and see whether it can be written to."""
        for folder in reversed((self.path, *self.path.parents)):
            # Another run may make the same folder in this moment: runs/ when several are started together.
            with contextlib.suppress(FileExistsError):
                if not folder.exists():
                    folder.mkdir()
                    self.made.insert(0, folder)
        descriptor, probe = tempfile.mkstemp(dir=self.path, prefix=".xpmlp-")
        os.close(descriptor)
        os.unlink(probe)

    def present(self) -> list[str]:
        """Return the names of a run's files that are there now."""
        return [name for name in (*RUN_FILES, LAST_MODEL) if (self.path / name).exists()]

    def save(self, name: str, make: Callable[[], bytes]) -> None:
        """Make and write one of the run's files; what fails is kept in `failures`, so that the others are saved.

        An earlier file of that name is then as it was, and a file that was made but could not be written is rescued.
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
        """Write a file to the refuge, if that can be written to."""
        try:
            refuge = self.refuge or Path(tempfile.mkdtemp(prefix="xpmlp-"))
        except OSError:
            return
        try:
            write_whole(refuge / name, content)
        except OutputError:
            if self.refuge is None:
                with contextlib.suppress(OSError):
                    refuge.rmdir()
        else:
            self.refuge = refuge
            self.rescued.append(name)

    def finish(self) -> None:
        """See that the folder now holds this run and nothing of an earlier one.

        Raises
        ------
        OutputError
            Naming what could not be written, why, and what is there.
        """
        leftover = [name for name in self.present() if name not in self.saved]
        if self.failures:
            message = f"Not saved: {', '.join(self.failures)}. {self.describe()}"
            if self.rescued:
                message += f" Kept in {self.refuge} instead: {', '.join(self.rescued)}."
            if leftover:
                message += f" Still there from an earlier run: {', '.join(leftover)}."
            # The reasons last, as they end in the remedy. Several files may share one; then one of them is named.
            reasons: dict[str, str] = {}
            for name, reason in self.failures.items():
                reasons.setdefault(reason.removeprefix(f"{self.path / name}: "), reason)
            message += f" {' '.join(reasons.values())}"
            raise OutputError(message)
        for name in leftover:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()

    def describe(self) -> str:
        """Say what was saved where."""
        return f"Saved in {self.path}: {', '.join(self.saved) or 'nothing'}."

    def discard(self) -> None:
        """Remove the folders that were made for this run, where nothing was put into them."""
        for folder in self.made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def make_run_folder(data_name: str, parent: Path = Path("runs")) -> RunFolder:
    """Make a new folder under `parent`, named after the data and the time, that no other run has."""
    stem = f"{data_name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path, number = parent / stem, 1
    while True:
        if not path.exists():
            folder = RunFolder(path)
            # Where another process was quicker in this moment, the folder is that one's.
            if path in folder.made:
                return folder
        number += 1
        path = parent / f"{stem}-{number}"
