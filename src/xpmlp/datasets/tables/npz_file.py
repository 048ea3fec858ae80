"""NumPy's .npz: arrays by name, in the layouts that people use."""

import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError

from .table import Table, import_polars

FEATURES = ("x", "X", "data", "images", "features", "inputs")
TARGETS = ("y", "Y", "label", "labels", "target", "targets", "class", "classes")
SPLIT_NAME = re.compile(r"(?P<split>train|test)_?(?P<part>\w+)|(?P<part2>\w+?)_?(?P<split2>train|test)", re.IGNORECASE)
LAYOUTS = "x and y; x_train, y_train, x_test and y_test; or an array of one dimension for each column"


def read_npz(path: Path) -> tuple[Table, Table | None]:
    """Read an .npz: a table, and that of the test rows where the file has them apart.

    Known are `x` with a row or an image for each sample and `y` with its label, both for training and test
    (``x_train`` …) where there are two; other usual names for them; and an array of one dimension for each column.

    Raises
    ------
    DataError
        Where it is damaged, holds Python objects, or arrays that do not fit together.
    """
    arrays = read_arrays(path)
    splits: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        match = SPLIT_NAME.fullmatch(name)
        if match is None or (match["part"] or match["part2"]) not in (*FEATURES, *TARGETS):
            break
        splits.setdefault((match["split"] or match["split2"]).lower(), {})[match["part"] or match["part2"]] = array
    else:
        if splits.keys() == {"train", "test"}:
            return make_table(f"{path}", splits["train"]), make_table(f"{path} (test rows)", splits["test"])
    return make_table(str(path), arrays), None


def read_arrays(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return all arrays of a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise DataError(f"{path}: holds a single array. Give an .npz with {LAYOUTS}.")
            return {name: file[name] for name in file.files}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: holds Python objects, which are not read. Save arrays of numbers or texts."
            ) from error
        raise DataError(f"{path}: cannot be read as .npz ({error}). Is the file whole?") from error
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"{path}: cannot be read as .npz ({error}). Is the file whole?") from error


def make_table(name: str, arrays: dict[str, Shaped[np.ndarray, "..."]]) -> Table:
    """Make a table of arrays whose first axis is the rows; what is above two dimensions becomes many columns."""
    polars = import_polars()
    if not arrays:
        raise DataError(f"{name}: holds no arrays. Give {LAYOUTS}.")
    sizes = {key: len(array) if array.ndim else 0 for key, array in arrays.items()}
    if len(set(sizes.values())) != 1 or not all(sizes.values()):
        listed = ", ".join(f"{key} {arrays[key].shape}" for key in arrays)
        raise DataError(f"{name}: its arrays have different numbers of rows, or none: {listed}. Give {LAYOUTS}.")
    frames, row_shape = [], None
    for key, array in arrays.items():
        if array.dtype.kind not in "biufUS":
            raise DataError(f"{name}: {key} is of type {array.dtype}, expected numbers, booleans or texts.")
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        if array.dtype == np.float16:
            array = array.astype(np.float32)
        width = math.prod(array.shape[1:])
        if array.ndim == 1 or (width == 1 and key in TARGETS):
            frames.append(polars.DataFrame({key: np.ascontiguousarray(array.reshape(-1))}))
            continue
        if width == 0:
            raise DataError(f"{name}: {key} has the shape {array.shape}, which holds no values.")
        columns = [f"{key}_{index}" for index in range(width)]
        frames.append(polars.from_numpy(np.ascontiguousarray(array.reshape(len(array), width)), schema=columns))
        if key in FEATURES and array.ndim > 2:
            row_shape = tuple(int(size) for size in array.shape[1:])
    frame = polars.concat(frames, how="horizontal")
    return Table(name, frame.lazy(), dict(frame.schema), frame.height, row_shape=row_shape)
