"""Pictures in a folder for each class: ``pictures/cat/1.jpg``, ``pictures/dog/2.png``."""

import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError

from .dataset import listing

PICTURES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2"),
)
# The names of folders with the rows of a part: train, test_set, seg_train, validation.
PART = re.compile(
    r"(?:.*[-_ ])?(?:(?P<train>train|training)|(?P<test>test|testing)|(?P<validation>val|valid|validation))"
    r"(?:[-_ ]?(?:set|data|images|pictures))?",
    re.IGNORECASE,
)
MOST_SEEN = 10_000  # files of a folder in which pictures are looked for
NAMED = 5  # in a note
OF_A_RUN = ("model.safetensors", "run.json")  # in the folder of a run, whose pictures are plots
LAYOUT = "Put the pictures of each class into a folder of its own: {0}/cat/1.jpg, {0}/dog/2.jpg."


@dataclass
class PictureFolder:
    """The pictures of a folder, or of a table."""

    path: Path
    # The files of each class, or pictures of Pillow, for "train" and, if there are some, "test" and "validation".
    parts: dict[str, dict[int | str, list[Any]]]
    notes: list[str] = field(default_factory=list)  # on skipped files and folders
    target: str | None = None  # the column of a table that holds the classes; None if folders are the classes
    columns: str | None = None  # how the table's columns are used, in words

    @property
    def files(self) -> list[Any]:
        """All files, or pictures."""
        return [file for classes in self.parts.values() for files in classes.values() for file in files]


def holds_class_folders(folder: Path) -> bool:
    """Return whether a folder has pictures in folders, at least two of them or one for training."""
    try:
        inner = folders_in(innermost(folder))
    except DataError:  # no folder, or not readable
        return False
    found = (part_of(path) or "class" for path in inner if holds_pictures(path))
    return any(name == "train" or count for count, name in enumerate(found))


def holds_pictures(folder: Path) -> bool:
    """Return whether there is a picture among the first files in a folder and the folders in it."""
    return any(map(is_picture, itertools.islice(walk(folder, onerror=None), MOST_SEEN)))


def innermost(folder: Path) -> Path:
    """Return the folder itself, or the only folder in it, as archives are unpacked to, that holds folders itself."""
    while True:
        inner = folders_in(folder)
        if len(inner) != 1 or not folders_in(inner[0]):
            return folder
        folder = inner[0]


def refuse(error: OSError) -> None:
    """Refuse a folder that cannot be read."""
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}). Check the folder's permissions.") from error


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder by name, without hidden ones, runs and links to those around it."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        refuse(error)
    place = Path(os.path.realpath(folder))
    found = [folder / name for name in sorted(names) if holds_data(folder / name)]
    return [path for path in found if not place.is_relative_to(os.path.realpath(path))]


def walk(folder: Path, onerror: Callable[[OSError], None] | None = refuse, depth: int = sys.maxsize) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it, in the order of their names, without hidden ones and runs."""
    for path, folders, names in os.walk(folder, onerror=onerror):
        if len(Path(path).parts) - len(folder.parts) >= depth:
            folders.clear()
        folders[:] = sorted(name for name in folders if holds_data(Path(path, name)))
        yield from (Path(path, name) for name in sorted(names) if not name.startswith("."))


def holds_data(folder: Path) -> bool:
    """Return whether a folder may hold data: it is not hidden, nor that of a run."""
    return not folder.name.startswith((".", "__")) and not is_run(folder)


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a trained model and its plots."""
    return any(os.path.isfile(folder / name) for name in OF_A_RUN)


def is_picture(path: str | Path) -> bool:
    """Return whether a file has the name of a picture."""
    return os.path.splitext(path)[1].lower() in PICTURES


def part_of(folder: Path) -> str | None:
    """Return ``"train"``, ``"test"`` or ``"validation"`` by a folder's name; None for other names."""
    match = PART.fullmatch(folder.name)
    return match and match.lastgroup


def find_class_folders(folder: Path) -> PictureFolder:
    """Return the pictures of a folder with one for each class, by part and class."""
    found = PictureFolder(folder, {})
    folder = innermost(folder)
    inner = folders_in(folder)
    parts: dict[str, Path] = {}
    for path in inner:
        if name := part_of(path):
            parts.setdefault(name, path)
    if "train" not in parts:
        parts = {"train": folder}
    elif others := [path.name for path in inner if path not in parts.values()]:
        found.notes.append(f"{folder}: {listing(others)} left out, beside {parts['train'].name!r}")
    for name, path in parts.items():
        if classes := find_classes(innermost(path), found.notes):
            found.parts[name] = classes
        elif name != "train":
            found.notes.append(f"{path}: left out, as it has no folder for each class")
    if not found.parts.get("train"):
        place = innermost(parts["train"])
        if any(map(is_picture, walk(place))):
            raise DataError(f"{place}: holds pictures, but not their classes. {LAYOUT.format(place)}")
        raise DataError(f"{place}: holds no pictures. {LAYOUT.format(place)}")
    if "test" not in found.parts and "validation" in found.parts:
        found.parts["test"] = found.parts.pop("validation")
        found.notes.append(f"the pictures of {parts['validation'].name!r} are the test rows")
    return found


def find_classes(folder: Path, notes: list[str]) -> dict[int | str, list[Path]]:
    """Return the pictures of each class; add what is left out to the notes. Whole numbers as names become integers."""
    classes: dict[str, list[Path]] = {}
    strays = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    for path in folders_in(folder):
        files = list(walk(path))
        strays += itertools.filterfalse(is_picture, files)
        name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
        classes[name] = list(filter(is_picture, files))
    empty = [name for name in classes if not classes[name]]
    classes = {name: files for name, files in classes.items() if files}
    if classes and empty:
        notes.append(f"{folder}: no pictures in {listing(empty, most=NAMED)}, left out")
    if classes and strays:
        are = "is no picture of a class" if len(strays) == 1 else "are no pictures of a class"
        names = listing((str(path.relative_to(folder)) for path in strays), most=NAMED)
        notes.append(f"{folder}: left out what {are}: {names}")
    if all(name.isascii() and name.isdigit() and str(int(name[:18])) == name for name in classes):
        return {int(name): classes[name] for name in sorted(classes, key=int)}
    return {name: files for name, files in classes.items()}  # noqa: C416
