"""Pictures in a folder for each class: ``pictures/cat/1.jpg``, ``pictures/dog/2.png``."""

import itertools
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError
from xpmlp.model.picture_file import picture_size
from xpmlp.model.picture_resizer import LARGEST_SIDE, PictureResizer

from .dataset import ByteSplit, Dataset, Provenance, Split, joined, listing
from .memory import check_memory
from .splitting import TEST_FRACTION, split_rows
from .tables.options import TableOptions

LOGGER = logging.getLogger(__name__)
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
WHOLE_SIDE, USUAL_SIDE = 64, 32  # the largest size that is kept if all pictures have it, and the size of others
GREY_SPREAD = 8  # between red, green and blue of a grey pixel, as JPEG rounds them
MOST_SEEN = 10_000  # files of a folder in which pictures are looked for
MANY = 2000  # pictures: reading so many is announced, and they are compared in blocks of so many
NAMED = 5  # in a note
LAYOUT = "Put the pictures of each class into a folder of its own: {0}/cat/1.jpg, {0}/dog/2.jpg."
USED_OPTIONS = ("image_size", "test", "test_fraction")  # and strict


@dataclass
class PictureFolder:
    """The pictures of a folder.

    Attributes
    ----------
    parts
        The files of each class, for ``"train"`` and, if the folder holds them, ``"test"`` and ``"validation"``.
    notes
        On skipped files and folders.
    """

    path: Path
    parts: dict[str, dict[int | str, list[Path]]]
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """All files."""
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
    """Return the folders in a folder, in the order of their names, without hidden ones and links to those around it."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        refuse(error)
    place = Path(os.path.realpath(folder))
    found = [folder / name for name in sorted(names) if not name.startswith((".", "__"))]
    return [path for path in found if not place.is_relative_to(os.path.realpath(path))]


def walk(folder: Path, onerror: Callable[[OSError], None] | None = refuse) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it, in the order of their names, without hidden ones."""
    for path, folders, names in os.walk(folder, onerror=onerror):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        yield from (Path(path, name) for name in sorted(names) if not name.startswith("."))


def is_picture(path: Path) -> bool:
    """Return whether a file has the name of a picture."""
    return path.suffix.lower() in PICTURES


def part_of(folder: Path) -> str | None:
    """Return ``"train"``, ``"test"`` or ``"validation"`` by a folder's name; None for other names."""
    match = PART.fullmatch(folder.name)
    return match and match.lastgroup


def find_pictures(folder: Path) -> PictureFolder:
    """Return the pictures of a folder, by part and class.

    Raises
    ------
    DataError
        If there are none, or no folders of classes.
    """
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
    empty = [name for name, files in classes.items() if not files]
    classes = {name: files for name, files in classes.items() if files}
    if classes and empty:
        notes.append(f"{folder}: no pictures in {listing(empty, most=NAMED)}, left out")
    if classes and strays:
        names = [str(path.relative_to(folder)) for path in strays]
        are = "is no picture of a class" if len(names) == 1 else "are no pictures of a class"
        notes.append(f"{folder}: left out what {are}: {listing(names, most=NAMED)}")
    if all(name.isascii() and name.isdigit() and str(int(name[:18])) == name for name in classes):
        return {int(name): classes[name] for name in sorted(classes, key=int)}
    return {name: files for name, files in classes.items()}  # noqa: C416


def load_picture_folder(folder: Path, options: TableOptions) -> Dataset:
    """Load the pictures of a folder, all in one size.

    The size is that of all pictures if they have the same, of at most 64 × 64 pixels; else their longest side becomes
    32. See `PictureResizer` for what becomes of other pictures. They are grey if all are.

    Raises
    ------
    DataError
        If there are no classes, or too few, or no pictures can be read.
    """
    found = find_pictures(folder)
    if options.test is not None:
        found.parts["test"] = find_pictures(Path(os.path.expanduser(options.test))).parts["train"]
    classes = tuple(found.parts["train"])
    if len(classes) < 2:
        raise DataError(f"{folder}: all pictures are of the class {classes[0]!r}. {LAYOUT.format(folder)}")
    for name in ("test", "validation"):
        leave_out_unknown(found, name, classes, strict=options.strict)
    size, is_kept = choose_size(found.files, options.image_size)
    resizer = PictureResizer(size[1], size[0], 3)
    parts = read_parts(found, resizer.read, resizer.shape, strict=options.strict)
    if all(is_grey(part.stored) for part in parts.values()):
        resizer = PictureResizer(size[1], size[0], 1)
        parts = {name: to_grey(part, size) for name, part in parts.items()}
    whole, split = parts["train"], None
    missing = set(classes) - set(whole.labels.tolist())
    if missing:
        raise DataError(f"{folder}: no picture of {listing(missing)} can be read. Remove its folder, or replace them.")
    if "test" not in parts:
        split = {"file": found.path.name, "rows": whole.rows, "test_fraction": options.test_fraction or TEST_FRACTION}
        train, test = split_rows(whole.labels, split["test_fraction"], stratify=True)
        parts |= {"train": whole.take(train), "test": whole.take(test)}
    elif options.test_fraction is not None:
        raise DataError(f"{folder}: has test pictures of its own; leave --test-fraction out.")
    if not is_kept:
        colors = "grey" if resizer.channels == 1 else "in color"
        larger = "x".join(str(2 * side) for side in dict.fromkeys(size))
        found.notes.append(
            f"pictures are resized to {size[0]} × {size[1]} pixels, {colors}; --image-size {larger} is finer"
        )
    return Dataset(
        name=folder.resolve().name,
        train=parts["train"],
        test=parts["test"],
        validation=parts.get("validation"),
        classes=classes,
        input_shape=resizer.shape,
        input_scale=255.0,
        source=f"the pictures in the folder {folder}",
        notes=tuple(found.notes),
        split=split,
        provenance=Provenance("pictures", os.path.abspath(folder), options=options.to_json()),
        resizer=None if is_kept and resizer.channels == 1 else resizer,
    )


def leave_out_unknown(found: PictureFolder, part: str, classes: tuple[int | str, ...], *, strict: bool) -> None:
    """Leave out classes of a part that have no training pictures."""
    unknown = [name for name in found.parts.get(part, ()) if name not in classes]
    if not unknown:
        return
    note = f"{found.path}: the {part} pictures of {listing(unknown, most=NAMED)} are of no class of the training"
    if strict:
        raise DataError(f"{note}. Remove them, or leave --strict out.")
    found.notes.append(f"{note}, left out")
    found.parts[part] = {name: files for name, files in found.parts[part].items() if name in classes}
    if not found.parts[part]:
        del found.parts[part]


def choose_size(files: list[Path], wanted: str | None) -> tuple[tuple[int, int], bool]:
    """Return the width and height of the inputs, and whether all pictures are opaque and of that size already."""
    sizes = set()
    for file in files:
        if found := picture_size(file):
            sizes.add(found)
        if len(sizes) > 1:
            break
    (width, height, is_opaque) = sizes.pop() if len(sizes) == 1 else (0, 0, False)
    if wanted is not None:
        size = parse_size(wanted)
    elif 0 < max(width, height) <= WHOLE_SIDE:
        size = (width, height)
    else:
        scale = USUAL_SIDE / max(width, height, 1)
        size = (max(1, round(width * scale)), max(1, round(height * scale))) if width else (USUAL_SIDE, USUAL_SIDE)
    return size, is_opaque and size == (width, height)


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height from ``32`` or ``32x24``."""
    match = re.fullmatch(r"(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?", text.strip().lower())
    size = (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))
    if not all(1 <= side <= LARGEST_SIDE for side in size):
        raise DataError(
            f"--image-size: {text!r} is not a size of 1 to {LARGEST_SIDE} pixels. Give 32, or WIDTHxHEIGHT such as "
            "48x32."
        )
    return size


def read_parts(
    found: PictureFolder,
    read: Callable[[Path], Shaped[np.ndarray, "..."]],
    shape: tuple[int, ...],
    *,
    strict: bool = False,
) -> dict[str, Any]:
    """Return the samples of each part; add pictures that cannot be read to the notes, or refuse the first."""
    count = len(found.files)
    needed = 5 * count * int(np.prod(shape))  # as bytes, and as float32
    check_memory(needed, what=f"{found.path}: {count:,} pictures", remedy="Choose a smaller --image-size.")
    if count >= MANY:
        LOGGER.info("%s: reading %s pictures …", found.path, f"{count:,}")
    problems: list[str] = []
    parts = {}
    for name, classes in found.parts.items():
        rows, labels = [], []
        for label, file in ((label, file) for label, files in classes.items() for file in files):
            try:
                rows.append(read(file).reshape(-1))
                labels.append(label)
            except DataError as error:
                if strict:
                    raise
                problems.append(str(error))
        if rows:
            parts[name] = (np.stack(rows), np.asarray(labels))
    if "train" not in parts:
        raise DataError(f"{found.path}: none of its pictures can be read. The first: {problems[0]}")
    if problems:
        count_of = "a picture" if len(problems) == 1 else f"{len(problems):,} pictures"
        found.notes.append(f"{count_of} left out that cannot be read: {joined(problems, most=NAMED, between=' ')}")
    return {name: samples_of(*part) for name, part in parts.items()}


def samples_of(rows: Shaped[np.ndarray, "rows features"], labels: Shaped[np.ndarray, " rows"]) -> Split:
    """Return pictures as samples: bytes, or inputs that are scaled already."""
    return ByteSplit(rows, 255.0, labels) if rows.dtype == np.uint8 else Split(rows, labels)


def is_grey(rows: Shaped[np.ndarray, "rows features"]) -> bool:
    """Return whether red, green and blue of all pixels are alike."""
    return all(np.ptp(block.reshape(-1, 3), axis=1).max(initial=0) <= GREY_SPREAD for block in blocks_of(rows))


def to_grey(part: ByteSplit, size: tuple[int, int]) -> ByteSplit:
    """Return pictures in grey, as `PictureResizer` makes them."""
    from PIL import Image

    width, height = size
    grey = [np.asarray(Image.fromarray(block.reshape(-1, width, 3)).convert("L")) for block in blocks_of(part.stored)]
    return ByteSplit(np.concatenate(grey).reshape(-1, height * width), part.divisor, part.labels)


def blocks_of(rows: Shaped[np.ndarray, "rows features"]) -> Iterable[Shaped[np.ndarray, "some features"]]:
    """Return the rows, some thousands at a time."""
    return (rows[start : start + MANY] for start in range(0, len(rows), MANY))
