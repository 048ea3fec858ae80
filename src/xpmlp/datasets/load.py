"""A name or a path in, a dataset out."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from xpmlp.errors import DataError

from .dataset import Dataset
from .digits import load_digits
from .idx_folder import idx_prefixes, load_idx_folder
from .mnist import load_mnist

# Each takes the folder that the user keeps data in, or None.
NAMED_DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": lambda data_dir: load_digits(),
    "mnist": load_mnist,
}


def load_dataset(data: str, data_dir: Path | None = None) -> Dataset:
    """Load a dataset by its name or its path.

    Parameters
    ----------
    data
        ``"digits"``, ``"mnist"``, or the path of a folder of IDX files, or ``FOLDER/PREFIX`` where it holds several
        datasets (``emnist/emnist-letters``). A name goes before a folder of the same name; write ``./mnist`` for the
        folder.
    data_dir
        The folder to find a named dataset's files in. What needs no files, and a path, are loaded regardless of it.

    Raises
    ------
    DataError
        Where there is no such dataset, or it cannot be loaded.
    """
    if data in NAMED_DATASETS:
        return NAMED_DATASETS[data](data_dir)
    path = Path(os.path.expanduser(data))
    if data and (os.path.exists(path) or path.name in idx_prefixes(path.parent)):
        return load_idx_folder(path)

    beside = [str(path.parent / prefix) for prefix in idx_prefixes(path.parent)] if data else []
    close = difflib.get_close_matches(data.lower(), [*NAMED_DATASETS, *beside], n=1)
    suggestion = f" Did you mean {close[0]}?" if close else ""
    message = (
        f"{data!r}: neither a known dataset nor a folder.{suggestion} Give {', '.join(NAMED_DATASETS)}, "
        "the path of a folder of IDX files in MNIST's layout, or FOLDER/PREFIX where a folder holds several datasets."
    )
    raise DataError(message)
