"""Whatever ``train`` takes, as one table."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

from xpmlp.datasets import ByteSplit, Dataset, Split, load_dataset
from xpmlp.datasets.load import is_table
from xpmlp.datasets.tables import NAMED_TABLES, Table, open_tables
from xpmlp.datasets.tables.table import import_polars


def open_data(data: str | Path, data_dir: str | Path | None = None) -> Table:
    """Open a table, or make one of a dataset of images: their values as they were, and a column ``label``.

    Raises
    ------
    DataError
        Where there is no such data, or it is damaged.
    """
    if is_table(data):
        name = str(data)
        return open_tables(name if name in NAMED_TABLES else Path(os.path.expanduser(data)))[0]
    return table_of(load_dataset(data, data_dir))


def table_of(dataset: Dataset) -> Table:
    """Return a dataset's rows, those to train on first, as a table with a column for each value."""
    polars = import_polars()
    labels = np.concatenate([np.asarray(dataset.train.labels), np.asarray(dataset.test.labels)])
    indices = itertools.product(*(range(size) for size in dataset.input_shape))
    names = ["pixel_" + "_".join(map(str, index)) for index in indices]
    values = polars.concat(
        [
            polars.from_numpy(raw_values(split, dataset.input_scale), schema=names)
            for split in (dataset.train, dataset.test)
        ]
    )
    frame = polars.concat([polars.DataFrame({"label": labels}), values], how="horizontal")
    note = f"the rows to train on, {dataset.train.rows:,}, are followed by those to test, {dataset.test.rows:,}"
    return Table(
        name=dataset.name,
        frame=frame.lazy(),
        schema=dict(frame.schema),
        rows=frame.height,
        notes=(*dataset.notes, note),
        row_shape=dataset.input_shape,
    )


def raw_values(split: Split, scale: float) -> Any:
    """Return values as they were before they were scaled: bytes where they were bytes."""
    if isinstance(split, ByteSplit):
        return split.stored
    raw = split.x * np.float32(scale)
    rounded = np.rint(raw)
    if scale <= 255 and rounded.min() >= 0 and np.abs(raw - rounded).max() < 1e-3:
        return rounded.astype(np.uint8)
    return raw
