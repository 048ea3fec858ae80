"""What an exported model takes: raw values, as its user has them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from xpmlp.model.model import Model
from xpmlp.model.table_schema import Column


@dataclass(frozen=True, eq=False)
class RawColumns:
    """The columns of the table that a model takes, those of numbers apart from those of categories.

    Attributes
    ----------
    numbers
        Numbers and booleans, in the order of the table that was trained on.
    categories
        Categories, likewise.
    order
        Which input of the network each value is, where those of `numbers` come first and then, one-hot, those of
        `categories`.
    """

    numbers: tuple[Column, ...]
    categories: tuple[Column, ...]
    order: Int64[np.ndarray, " inputs"]


def raw_columns(model: Model) -> RawColumns | None:
    """Return the columns that a model takes; None where it takes an array of raw values, all divided by one scale."""
    form = model.table_schema
    if form is None:
        return None
    is_array = len(model.input_shape) > 1 and all(
        (column.kind, column.fill, column.offset, column.scale) == ("number", None, 0, model.input_scale)
        for column in form.columns
    )
    if is_array:
        return None
    first, ranges = 0, {}
    for column in form.columns:
        ranges[column.name] = np.arange(first, first + column.inputs)
        first += column.inputs
    numbers = tuple(column for column in form.columns if column.kind != "category")
    categories = tuple(column for column in form.columns if column.kind == "category")
    order = np.concatenate([ranges[column.name] for column in (*numbers, *categories)])
    return RawColumns(numbers, categories, order.astype(np.int64))


def class_type(classes: tuple[int | str, ...]) -> type[int] | type[str]:
    """Return what all labels of a model can be: whole numbers of 64 bits, or else texts."""
    limits = np.iinfo(np.int64)
    return int if all(isinstance(value, int) and limits.min <= value <= limits.max for value in classes) else str
