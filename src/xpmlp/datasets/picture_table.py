"""Pictures whose classes are in a table beside them: ``train.csv`` with columns ``image,label``, ``images/1.jpg``."""

import contextlib
import itertools
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xpmlp.errors import DataError

from .dataset import counted, listing
from .picture_folder import NAMED, PICTURES, PictureFolder, find_class_folders, innermost, is_picture, part_of, walk
from .tables.columns import find_target, option_text, read_target
from .tables.files import TEXT, read_table, table_format
from .tables.options import DEFAULTS, TableOptions
from .tables.table import Table, as_text, column_type, reports_polars_errors

TABLES = ("csv", "parquet", "arrow")  # formats of files whose columns may name pictures
DEEPEST = 2  # folders below the table's, in which pictures are looked for
PEEKED = 65_536  # bytes of a file in which names of pictures are looked for
MOST_SOUGHT = 1000  # names of pictures that are looked for in a file before it is read
SAMPLED = 200  # values of a column
LEAST_FOUND = 0.5  # of a column's values without a picture's suffix


@dataclass(frozen=True, eq=False)
class NamedPictures:
    """A table and the pictures that one of its columns names."""

    table: Table
    column: str
    names: list[str | None]  # the column's values as text
    files: list[Path | None]  # the picture of each row; None if it is not there
    unnamed: int  # how many pictures beside the table it does not name

    def places(self) -> list[Path]:
        """Return the path of each row's picture, or the one that it would have."""
        folder = Path(self.table.name).parent
        return [file or folder / (name or "(no name)") for name, file in zip(self.names, self.files, strict=True)]


class PictureIndex:
    """The pictures in a folder and the folders in it, to be found by a name with or without folders and suffix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[tuple[str, Path]]] = {}
        for file in filter(is_picture, walk(folder, onerror=None, depth=DEEPEST)):
            place = f"/{without_suffix(file.relative_to(folder).as_posix())}"
            self.files.setdefault(place.rpartition("/")[2], []).append((place, file))

    def find(self, name: str) -> list[Path]:
        """Return the pictures of a name, first those with its suffix."""
        name = name.replace("\\", "/").removeprefix("./")
        wanted = f"/{without_suffix(name)}"
        nearby = self.files.get(wanted.rpartition("/")[2], [])
        found = [file for place, file in nearby if place.endswith(wanted)]
        if not found and is_picture(name) and os.path.isfile(self.folder / name):  # absolute, or ../images/1.jpg
            return [self.folder / name]
        return sorted(found, key=lambda file: not file.as_posix().endswith(name)) if len(found) > 1 else found

    def find_all(self, names: list[str | None], part: str) -> list[Path | None]:
        """Return the picture of each name; of several, that in the folder with most of them, or of that part's name."""
        found = [[] if name is None else self.find(name) for name in names]
        counts = Counter(file.parent for files in found for file in files)
        ranks = {folder: (-count, part_of(folder) != part) for folder, count in counts.items()}
        return [min(files, key=lambda file: ranks[file.parent], default=None) for files in found]


def without_suffix(name: str) -> str:
    """Return a picture's name without its suffix, in lower case."""
    return (os.path.splitext(name)[0] if is_picture(name) else name).lower()


def may_name_pictures(path: Path, index: PictureIndex) -> bool:
    """Return whether the beginning of a file has the suffix of a picture in it, or the name of one that is there."""
    with path.open("rb") as file:
        start = file.read(PEEKED).lower()
    is_plain = start.isascii() and b"\0" not in start and len(index.files) <= MOST_SOUGHT
    names = itertools.chain(PICTURES, index.files if is_plain else ())
    return any(name.encode() in start for name in names) or (bool(index.files) and not is_plain)


@reports_polars_errors
def find_named_pictures(path: Path, options: TableOptions = DEFAULTS) -> NamedPictures | None:
    """Return a table that names pictures beside it, or in folders there; None for other files.

    Such a column holds names of pictures, some of which are there; or names without suffix, such as numbers, at least
    half of which are those of a picture.
    """
    if not os.path.isfile(path) or table_format(path) not in TABLES:
        return None
    index = PictureIndex(path.parent)
    if not may_name_pictures(path, index):
        return None
    table = read_table(path, options)
    columns: dict[str, list[str | None]] = {}
    for name, dtype in table.schema.items():
        is_input = name in (options.features or table.schema) and name not in (options.target, *options.exclude)
        if is_input and (column_type(dtype) == "text" or dtype.is_integer()):
            columns[name] = as_text(table.column(name)).to_list()
    shares = {name: share_of_pictures(names, index) for name, names in columns.items()}
    column = max(shares, key=lambda name: shares[name], default="")
    if not shares.get(column):
        return None
    files = index.find_all(columns[column], part_of(Path(path.stem)) or "train")
    named = set(files)
    unnamed = sum(file not in named for places in index.files.values() for _, file in places)
    return NamedPictures(table, column, columns[column], files, unnamed)


def share_of_pictures(names: list[str | None], index: PictureIndex) -> float:
    """Return which share of some of a column's values names pictures; 0 if that is no evidence that they are names."""
    chosen = np.random.default_rng(0).choice(len(names), min(len(names), SAMPLED), replace=False)
    sampled = [name for name in (names[row] for row in chosen) if name]
    share = sum(bool(index.find(name)) for name in sampled) / max(len(sampled), 1)
    are_files = sum(map(is_picture, sampled)) > len(sampled) / 2
    are_ids = len(set(sampled)) > len(sampled) / 2
    return share if are_files or (are_ids and share >= LEAST_FOUND) else 0.0


def find_labelled_pictures(path: Path, options: TableOptions) -> PictureFolder | None:
    """Return the pictures that a table names, or the table in a folder, by class; None if there is no such table.

    Of a folder's tables that are called train, test and validation, each is a part.
    """
    if not os.path.isdir(path):
        named = find_named_pictures(path, options)
        target = None if named is None else find_labels(named, options)
        return None if named is None or target is None else by_class(named, target, options)
    if table_format(path) is not None:
        return None
    tables: dict[Path, NamedPictures] = {}
    with contextlib.suppress(DataError):  # a folder may be unreadable, and a table anything, beside class folders
        places = dict.fromkeys((path, innermost(path)))
        for file in itertools.chain.from_iterable(walk(place, onerror=None, depth=0) for place in places):
            is_table = file.suffix.lower() in TEXT
            if is_table and (named := find_named_pictures(file, options)) is not None:
                tables[file] = named
    targets = {file: target for file, named in tables.items() if (target := find_labels(named, options)) is not None}
    parts = {part_of(Path(file.stem)): file for file in targets}
    if tables and not targets:
        with contextlib.suppress(DataError):
            if len(find_class_folders(path).parts["train"]) > 1:
                return None
        file, named = next(iter(tables.items()))
        raise DataError(
            f"{file}: {named.column!r} names the pictures. Name the column of their classes with --target. The columns "
            f"are {listing(named.table.schema)}."
        )
    if len(targets) > 1 and "train" not in parts:
        names = listing(map(str, targets), most=NAMED)
        raise DataError(f"{path}: several tables in it name pictures: {names}. Give one of them.")
    first = parts.get("train") or next(iter(targets), None)
    if first is None or (found := by_class(tables[first], targets[first], options)) is None:
        return None
    for part, file in parts.items():
        if part in ("test", "validation") and file != first and targets[file] == found.target:
            held_out = by_class(tables[file], found.target, replace(options, task="classification"))
            found.parts[part] = held_out.parts["train"] if held_out else {}
    return replace(found, path=path)


def by_class(named: NamedPictures, target: str, options: TableOptions) -> PictureFolder | None:
    """Return named pictures by class, with notes on skipped rows; None for a number with other columns."""
    table = named.table
    found = read_target(table, target, options.task)
    exclude = option_text("--exclude", [named.column])
    if found.task != "classification":
        if len(table.schema) > 2:
            return None
        raise DataError(
            f"{table.name}: {target!r} is a number, and only classes can be learned from the pictures that "
            f"{named.column!r} names. Give --task classification to make each number a class."
        )
    labels: dict[Path, set[int | str]] = {}
    absent = [str(name) for name, file in zip(named.names, named.files, strict=True) if file is None]
    for file, label, is_missing in zip(named.files, found.values.tolist(), found.missing.tolist(), strict=True):
        if file is not None and not is_missing:
            labels.setdefault(file, set()).add(label)
    classes: dict[int | str, list[Path]] = {label: [] for label in sorted(set().union(*labels.values()))}
    several = [str(file) for file, given in labels.items() if len(given) > 1]
    for file, given in labels.items():
        if len(given) == 1:
            classes[next(iter(given))].append(file)
    unlabelled, not_there = int(found.missing.sum()), f"whose picture is not there: {listing(absent, most=NAMED)}"
    left_out = (
        (len(absent), "row", not_there),
        (unlabelled, "row", f"without a value in {target!r}"),
        (len(several), "picture", f"of several classes: {listing(several, most=NAMED)}"),
    )
    notes = [f"left out {counted(count, noun)} {which}" for count, noun, which in left_out if count]
    if absent and options.strict:
        raise DataError(f"{table.name}: {counted(len(absent), 'row')} {not_there}. Add them, or leave --strict out.")
    if not any(classes.values()):
        raise DataError(f"{table.name}: no row has a picture and a class: {'; '.join(notes)}.")
    used = f"the inputs are the pictures that {named.column!r} names, the classes are in {target!r}"
    if named.unnamed:
        used += f"; {counted(named.unnamed, 'picture')} without a row in the table left out"
    if len(table.schema) > 2:
        used += f"; other columns are left out: {exclude} takes these instead"
    parts = {"train": {label: files for label, files in classes.items() if files}}
    return PictureFolder(Path(table.name), parts, notes, target, used)


def find_labels(named: NamedPictures, options: TableOptions) -> str | None:
    """Return the column of the classes: the target, one with a usual name, or the only other one; None if unknown."""
    others = [name for name in named.table.schema if name != named.column]
    if options.target is not None or len(others) == 1:
        target = options.target or others[0]
        return target if target in others else None
    with contextlib.suppress(DataError):
        return find_target(named.table, None)[0]
    return None
