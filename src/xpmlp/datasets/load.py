"""A name or a path in, a dataset out."""

import difflib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpmlp.errors import DataError, SettingsError

from .dataset import Dataset, listing
from .digits import load_digits
from .idx_folder import idx_prefixes, load_idx_folder
from .mnist import load_mnist
from .streaming.load import load_stream
from .tables.files import refuse_foreign, table_format
from .tables.loading import NAMED_TABLES, load_table
from .tables.options import TableOptions

# Each takes the folder with the user's files, or None.
NAMED_DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": lambda data_dir: load_digits(),
    "mnist": load_mnist,
}
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
NO_TABLES = ("", ".txt", *PICTURES)  # so that none of many is opened
NAMES = (*NAMED_DATASETS, *NAMED_TABLES)


def load_dataset(
    data: str | Path, data_dir: str | Path | None = None, memory: str | int | None = None, **options: Any
) -> Dataset:
    """Load a dataset by its name or its path.

    Parameters
    ----------
    data
        ``"digits"``, ``"mnist"``, ``"iris"``, ``"wine"``, ``"breast_cancer"``, ``"diabetes"``; the path of a table
        (CSV, plain or compressed, Excel, ODS, JSON, ARFF, Parquet, Arrow or Feather, .npz); or that of a folder of IDX
        files, or ``FOLDER/PREFIX`` if it holds several datasets (``emnist/emnist-letters``). A name goes before a
        folder of the same name; write ``./mnist`` for the folder.
    data_dir
        Folder with the files of a named dataset. Datasets without files, and paths, ignore it.
    memory
        Memory that the data may take, such as ``"2GB"``; by default most of what is free. Larger tables in Parquet are
        streamed from disk: the dataset then holds a sample of the rows, and trains on all.
    **options
        Options of tables, such as ``target="price"``: the fields of `xpmlp.datasets.TableOptions`.

    Raises
    ------
    DataError
        If there is no such dataset, or it cannot be loaded.
    SettingsError
        If a table option is invalid, or the dataset is no table.
    """
    return load_by_options(data, data_dir, TableOptions.parse(**options), memory)


def load_by_options(
    data: str | Path, data_dir: str | Path | None, options: TableOptions, memory: str | int | None = None
) -> Dataset:
    """Load a dataset as `load_dataset` does; stream it if it takes more than that memory, by default the free one."""
    name = str(data)
    refuse_unsupported(name)
    if (streamed := load_stream(data, options, memory)) is not None:
        return streamed
    if is_table(data):
        return load_table(name if name in NAMED_TABLES else Path(os.path.expanduser(data)), options)
    if given := [*options.given, *([] if memory is None else ["--memory"])]:
        raise SettingsError(f"{name}: is no table, so {', '.join(given)} cannot be used. Leave it out.")
    if name in NAMED_DATASETS:
        return NAMED_DATASETS[name](None if data_dir is None else Path(data_dir))
    path = Path(os.path.expanduser(data))
    if name and (os.path.exists(path) or path.name in idx_prefixes(path.parent)):
        return load_idx_folder(path)

    beside = [str(path.parent / prefix) for prefix in idx_prefixes(path.parent)] if name else []
    close = difflib.get_close_matches(name.lower(), [*NAMES, *beside], n=1)
    suggestion = f" Did you mean {close[0]}?" if close else ""
    raise DataError(
        f"{name!r}: neither a known dataset nor a folder.{suggestion} Give {', '.join(NAMES)}, the path of a table, "
        "the path of a folder of IDX files in MNIST's layout, or FOLDER/PREFIX if a folder holds several datasets."
    )


def refuse_unsupported(name: str) -> None:
    """Refuse paths in unsupported formats, and name a supported one."""
    if name in NAMES or not name:
        return
    path = Path(os.path.expanduser(name))
    refuse_foreign(path)
    if path.suffix.lower() == ".npy" and os.path.isfile(path):
        raise DataError(
            f"{name}: holds a single array. Save inputs and labels together, with numpy.savez('data.npz', x=…, y=…)."
        )
    if not os.path.isdir(path) or idx_prefixes(path) or is_table(path):
        return
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    if tables := [file for file in files if file.suffix.lower() not in NO_TABLES and is_table(file)]:
        given = f"as {tables[0]}" if len(tables) == 1 else f"one of {listing([str(table) for table in tables])}"
        raise DataError(f"{name}: is a folder. Name the table in it, {given}.")
    inside = [file for folder in files if folder.is_dir() for file in itertools.islice(folder.iterdir(), 1)]
    if any(file.suffix.lower() in PICTURES for file in (*files, *inside)):
        raise DataError(
            f"{name}: holds pictures as files. To train on pictures, save their pixels and labels as arrays, with "
            "numpy.savez('data.npz', x=…, y=…), where x has the shape (pictures, height, width)."
        )


def is_table(data: str | Path) -> bool:
    """Return whether a name or path is that of a table, by the name alone."""
    path = Path(os.path.expanduser(data))
    if str(data) in NAMED_TABLES:
        return True
    return str(data) not in NAMED_DATASETS and table_format(path) is not None
