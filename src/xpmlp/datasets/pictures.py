"""Pictures of classes, in folders or named by a table, all read in one size."""

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError, SettingsError
from xpmlp.model.picture_file import picture_size
from xpmlp.model.picture_resizer import LARGEST_SIDE, PictureResizer

from .dataset import ByteSplit, Dataset, Provenance, Split, counted, joined, listing
from .memory import check_memory
from .picture_folder import LAYOUT, NAMED, PictureFolder, find_class_folders, holds_class_folders
from .picture_table import find_labelled_pictures
from .splitting import TEST_FRACTION, split_rows
from .tables.columns import read_target
from .tables.files import table_format
from .tables.frames import table_in_memory, target_name
from .tables.loading import short_name
from .tables.options import READING, TableOptions

LOGGER = logging.getLogger(__name__)
WHOLE_SIDE, USUAL_SIDE = 64, 32  # the largest size that is kept if all pictures have it, and the size of others
GREY_SPREAD = 8  # between red, green and blue of a grey pixel, as JPEG rounds them
MANY = 2000  # pictures: reading so many is announced
USED_OPTIONS = ("image_size", "test", "test_fraction", "strict")
OF_TABLES = ("target", "features", "exclude", "task", *READING)  # used of a table that names pictures


def find_pictures(path: Path, options: TableOptions) -> PictureFolder | None:
    """Return the pictures of classes in a folder, or those that a table names; None for other files and folders."""
    labelled = find_labelled_pictures(path, options)
    if labelled is not None or not holds_class_folders(path) or table_format(path) is not None:
        return labelled
    return find_class_folders(path)


def load_pictures(found: PictureFolder, options: TableOptions) -> Dataset:
    """Load pictures, all in one size.

    The size is that of all pictures if they have the same, of at most 64 × 64 pixels; else their longest side becomes
    32. See `PictureResizer` for what becomes of other pictures. They are grey if all are.
    """
    path = found.path
    used = (*USED_OPTIONS, "missing") if options.strict else USED_OPTIONS  # strict refuses missing values
    if found.target is not None:
        options, used = replace(options, target=found.target), (*used, *OF_TABLES)
    if unused := [option for option in options.given if option[2:].replace("-", "_") not in used]:
        raise SettingsError(f"{path}: holds pictures, so {', '.join(unused)} cannot be used. Leave it out.")
    if options.test is not None:
        other = Path(os.path.expanduser(options.test))
        found.parts["test"] = (find_pictures(other, options) or find_class_folders(other)).parts["train"]
    classes = tuple(found.parts["train"])
    if len(classes) < 2:
        remedy = LAYOUT.format(path) if found.target is None else "At least 2 classes are needed."
        raise DataError(f"{path}: all pictures are of the class {classes[0]!r}. {remedy}")
    for name in ("test", "validation"):
        leave_out_unknown(found, name, classes, strict=options.strict)
    size, is_kept = choose_size(found.files, options.image_size)
    resizer = PictureResizer(size[1], size[0], 3)
    parts = read_parts(found, resizer.read, resizer.shape, strict=options.strict)
    if all(np.ptp(part.stored.reshape(-1, 3), axis=1).max() <= GREY_SPREAD for part in parts.values()):
        resizer = PictureResizer(size[1], size[0], 1)
        parts = {name: to_grey(part, size) for name, part in parts.items()}
    whole, split = parts["train"], None
    missing = set(classes) - set(whole.labels.tolist())
    if missing:
        raise DataError(
            f"{path}: no picture of {listing(missing)} can be read. Leave its pictures out, or replace them."
        )
    if "test" not in parts:
        split = {"file": found.path.name, "rows": whole.rows, "test_fraction": options.test_fraction or TEST_FRACTION}
        train, test = split_rows(whole.labels, split["test_fraction"], stratify=True)
        parts |= {"train": whole.take(train), "test": whole.take(test)}
    elif options.test_fraction is not None:
        raise DataError(f"{path}: has test pictures of its own; leave --test-fraction out.")
    if not is_kept:
        colors = "grey" if resizer.channels == 1 else "in color"
        larger = "x".join(str(2 * side) for side in dict.fromkeys(size))
        found.notes.append(
            f"pictures are resized to {size[0]} × {size[1]} pixels, {colors}; --image-size {larger} is finer"
        )
    return Dataset(
        name=path.resolve().name if found.target is None else short_name(path),
        train=parts["train"],
        test=parts["test"],
        validation=parts.get("validation"),
        classes=classes,
        input_shape=resizer.shape,
        input_scale=255.0,
        source=f"the pictures {'in the folder' if found.target is None else 'that a table names,'} {path}",
        notes=tuple(filter(None, [found.columns, *found.notes])),
        split=split,
        provenance=Provenance("pictures", os.path.abspath(path), options=options.to_json()),
        resizer=None if is_kept and resizer.channels == 1 else resizer,
    )


def load_picture_list(pictures: Sequence[Path | Any], labels: Any, options: TableOptions) -> Dataset | None:
    """Load pictures of Pillow, or their paths, with the class of each; None if numbers are predicted of pixels."""
    name = "the pictures"
    table = table_in_memory({target_name(labels): labels})
    target = read_target(table, next(iter(table.schema)), options.task)
    if target.task != "classification":
        if not any(isinstance(picture, Path) for picture in pictures):
            return None
        raise DataError(f"{name}: their labels are amounts, and only classes can be learned from files of pictures.")
    if table.rows != len(pictures):
        raise DataError(f"{name}: there are {len(pictures):,}, but {table.rows:,} labels. Give one for each.")
    classes: dict[int | str, list[Any]] = {label: [] for label in np.unique(target.values[~target.missing]).tolist()}
    for picture, label, is_missing in zip(pictures, target.values.tolist(), target.missing.tolist(), strict=True):
        if not is_missing:
            classes[label].append(picture)
    dataset = load_pictures(PictureFolder(Path(name), {"train": classes}), options)
    return replace(dataset, name=name, source="pictures in memory", provenance=None, split=None)


def leave_out_unknown(found: PictureFolder, part: str, classes: tuple[int | str, ...], *, strict: bool) -> None:
    """Leave out classes of a part that have no training pictures."""
    found_classes = found.parts.pop(part, {})
    if unknown := [name for name in found_classes if name not in classes]:
        note = f"{found.path}: the {part} pictures of {listing(unknown, most=NAMED)} are of no class of the training"
        if strict:
            raise DataError(f"{note}. Remove them, or leave --strict out.")
        found.notes.append(f"{note}, left out")
    if known := {name: files for name, files in found_classes.items() if name in classes}:
        found.parts[part] = known


def choose_size(files: list[Any], wanted: str | None) -> tuple[tuple[int, int], bool]:
    """Return the width and height of the inputs, and whether all pictures are opaque and of that size already."""
    sizes = set[Any]()
    for file in files:
        sizes.add(picture_size(file))
        sizes.discard(None)
        if len(sizes) > 1:
            break
    width, height, is_opaque = sizes.pop() if len(sizes) == 1 else (USUAL_SIDE, USUAL_SIDE, False)
    scale = USUAL_SIDE / max(width, height) if max(width, height) > WHOLE_SIDE else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale))) if wanted is None else parse_size(wanted)
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
    parts: dict[str, Any] = {}
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
        if rows and rows[0].dtype == np.uint8:
            parts[name] = ByteSplit(np.stack(rows), 255.0, np.asarray(labels))
        elif rows:  # inputs that are scaled already
            parts[name] = Split(np.stack(rows), np.asarray(labels))
    if "train" not in parts:
        raise DataError(f"{found.path}: none of its pictures can be read. The first: {problems[0]}")
    if problems:
        left_out = "a picture" if len(problems) == 1 else counted(len(problems), "picture")
        found.notes.append(f"{left_out} left out that cannot be read: {joined(problems, most=NAMED, between=' ')}")
    return parts


def to_grey(part: ByteSplit, size: tuple[int, int]) -> ByteSplit:
    """Return pictures in grey, as `PictureResizer` makes them."""
    from PIL import Image

    grey = np.asarray(Image.fromarray(part.stored.reshape(-1, size[0], 3)).convert("L"))
    return ByteSplit(grey.reshape(part.rows, -1), part.divisor, part.labels)
