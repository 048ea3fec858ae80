"""A name or a path in, a dataset out."""

import contextlib
import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError, SettingsError

from .dataset import Dataset, joined, listing
from .digits import load_digits
from .idx_folder import find_idx_files, idx_prefixes, load_idx_folder
from .mnist import load_mnist
from .picture_folder import LAYOUT, holds_pictures, is_picture, is_run
from .pictures import find_pictures, load_pictures
from .streaming.large_table import find_large_table, load_table_stream
from .tables.files import FORMATS, map_array, refuse_foreign, table_format
from .tables.loading import NAMED_TABLES, load_table
from .tables.options import TableOptions

# Each takes the folder with the user's files, or None.
NAMED_DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": lambda data_dir: load_digits(),
    "mnist": load_mnist,
}
NO_TABLES = ("", ".txt")  # so that none of many is opened
NAMES = (*NAMED_DATASETS, *NAMED_TABLES)


def load_dataset(
    data: str | Path, data_dir: str | Path | None = None, memory: str | int | None = None, **options: Any
) -> Dataset:
    """Load a dataset by its name or its path.

    Parameters
    ----------
    data
        ``"digits"``, ``"mnist"``, ``"iris"``, ``"wine"``, ``"breast_cancer"``, ``"diabetes"``; the path of a table
        (CSV, plain or compressed, Excel, ODS, JSON, ARFF, Parquet, Arrow or Feather, .npz, .npy), also of one that
        names pictures; that of a folder of pictures with a folder for each class; or that of a folder of IDX files, or
        ``FOLDER/PREFIX`` if it holds several datasets (``emnist/emnist-letters``). A name goes before a folder of the
        same name; write ``./mnist`` for the folder.
    data_dir
        Folder with the files of a named dataset. Datasets without files, and paths, ignore it.
    memory
        Memory limit of the data, such as ``"2GB"``; by default most of the free memory. Larger tables in Parquet or
        .npy, and IDX files, are streamed from disk: the dataset then holds a sample of the rows, and trains on all.
    **options
        Options of tables and pictures, such as ``target="price"`` or ``image_size="32x24"``: the fields of
        `xpmlp.datasets.TableOptions`.

    Raises
    ------
    DataError
        If there is no such dataset, or it cannot be loaded.
    SettingsError
        If an option is invalid, or is not for this dataset.
    """
    return load_by_options(data, data_dir, TableOptions.parse(**options), memory)


def load_by_options(
    data: str | Path, data_dir: str | Path | None, options: TableOptions, memory: str | int | None = None
) -> Dataset:
    """Load a dataset as `load_dataset` does; stream it if it takes more than that memory, by default the free one."""
    name, path = str(data), Path(os.path.expanduser(data))
    holds_table = name in NAMED_TABLES
    if name and name not in NAMES:
        refuse_foreign(path)
        is_array = path.suffix.lower() == ".npy" and os.path.isfile(path) and options.target_file is None
        if is_array and not is_structured(path):
            raise DataError(
                f"{name}: holds a single array. Give its targets, too, such as --target y.npy; or a folder with x.npy "
                "and y.npy, or x_train.npy, y_train.npy, x_test.npy and y_test.npy."
            )
        if (large := find_large_table(data, memory, options.target_file)) is not None:
            return load_table_stream(large, options)
        if (pictures := find_pictures(path, options)) is not None:
            if memory is not None:
                raise SettingsError(f"{name}: holds pictures, so --memory cannot be used. Leave it out.")
            return load_pictures(pictures, options)
        holds_table = table_format(path) is not None
    if holds_table:
        if options.image_size is not None:
            raise SettingsError(f"{name}: is a table, so --image-size cannot be used. Leave it out.")
        return load_table(name if name in NAMED_TABLES else path, options)
    if name in NAMED_DATASETS:
        if given := [*options.given, *(["--memory"] if memory is not None else [])]:
            raise SettingsError(f"{name}: is no table, so {', '.join(given)} cannot be used. Leave it out.")
        return NAMED_DATASETS[name](None if data_dir is None else Path(data_dir))
    if name and os.path.isdir(path) and not find_idx_files(path):
        refuse_tables_and_runs(path)
        if holds_pictures(path):
            raise DataError(f"{path}: holds pictures, but not those of several classes. {LAYOUT.format(path)}")
    if os.path.isfile(path):
        raise DataError(f"{name}: is not a table that can be read. Give {FORMATS}; or the folder of an IDX file.")
    if options.given:
        raise SettingsError(f"{name}: is no table, so {', '.join(options.given)} cannot be used. Leave it out.")
    if name and (os.path.exists(path) or path.name in idx_prefixes(path.parent)):
        return load_idx_folder(path, memory)

    beside = [str(path.parent / prefix) for prefix in idx_prefixes(path.parent)] if name else []
    close = difflib.get_close_matches(name.lower(), [*NAMES, *beside], n=1)
    suggestion = f" Did you mean {close[0]}?" if close else ""
    raise DataError(
        f"{name!r}: neither a known dataset nor a folder.{suggestion} Give {', '.join(NAMES)}, the path of a table, "
        "that of a folder of pictures with a folder for each class, that of a folder of IDX files in MNIST's layout, "
        "or FOLDER/PREFIX if a folder holds several datasets."
    )


def is_structured(path: Path) -> bool:
    """Return whether the array in a .npy file has named columns."""
    with contextlib.suppress(DataError):
        return bool(map_array(path).dtype.names)
    return False


def refuse_tables_and_runs(path: Path) -> None:
    """Refuse a folder that holds tables or runs, and name them."""
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    runs = [str(file) for file in (path, *files) if is_run(file)]
    others = [file for file in files if file.suffix.lower() not in NO_TABLES and not is_picture(file)]
    if (tables := [file for file in others if is_table(file)]) and not is_run(path):
        given = f"as {tables[0]}" if len(tables) == 1 else f"one of {listing([str(table) for table in tables])}"
        raise DataError(f"{path}: is a folder. Name the table in it, {given}.")
    if runs:
        raise DataError(f"{path}: holds trained models, not data: {joined(runs, most=3)}. Give data.")


def is_table(data: str | Path) -> bool:
    """Return whether a name or path is that of a table, by the name alone."""
    path = Path(os.path.expanduser(data))
    if str(data) in NAMED_TABLES:
        return True
    return str(data) not in ("", *NAMED_DATASETS) and table_format(path) is not None
