"""Which rows are to train on, and which to judge by."""

import numpy as np
from jaxtyping import Bool

from xpmlp.errors import DataError

from .options import TEST_FRACTION
from .table import Table
from .target import Target

SEED = 0  # of every split, so that runs of different seeds are judged on the same rows


def split_rows(
    table: Table, target: Target, kept: Bool[np.ndarray, " rows"], test_fraction: float | None
) -> tuple[Bool[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """Return which rows are to train on and which to test; classes come in both as often as in all.

    Parameters
    ----------
    kept
        The rows that are used at all.

    Raises
    ------
    DataError
        Where a class is in one row alone, or there are too few rows.
    """
    from sklearn.model_selection import train_test_split

    rows = np.flatnonzero(kept)
    labels = target.values[rows] if target.task == "classification" else None
    if len(rows) < 2:
        raise DataError(f"{table.name}: {len(rows)} rows are too few; at least 2 are needed, one of them to test.")
    if labels is not None:
        refuse_lonely_class(table, target, rows)
    try:
        train, test = train_test_split(
            rows,
            test_size=TEST_FRACTION if test_fraction is None else test_fraction,
            random_state=SEED,
            stratify=labels,
        )
    except ValueError as error:
        raise DataError(
            f"{table.name}: {len(rows):,} rows cannot be split so that every class is in both parts ({error}). Give "
            "another --test-fraction, or a file of test rows with --test."
        ) from error
    masks = []
    for part in (train, test):
        mask = np.zeros(table.rows, dtype=np.bool_)
        mask[part] = True
        masks.append(mask)
    return masks[0], masks[1]


def refuse_lonely_class(table: Table, target: Target, rows: np.ndarray) -> None:
    """Refuse a class that is in one row, which cannot be both trained on and tested."""
    classes, first, counts = np.unique(target.values[rows], return_index=True, return_counts=True)
    lonely = np.flatnonzero(counts == 1)
    if not len(lonely):
        return
    if len(lonely) == len(classes) and target.values.dtype.kind != "U":
        hint = "Every row is a class of its own: say --task regression where these are amounts."
    else:
        hint = "Remove the row, or give a file of test rows with --test."
    others = f", and {len(lonely) - 1:,} more classes are in one only" if len(lonely) > 1 else ""
    row = int(rows[first[lonely[0]]])
    raise DataError(
        f"{table.name}: the class {classes[lonely[0]].item()!r} of column {target.name!r} is in one row alone, "
        f"{table.place(row)}{others}: it cannot be both trained on and tested. {hint}"
    )
