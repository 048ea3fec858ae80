"""Operands of divided products lie part by part: what each thread reads is memory of its own.

A batch's inputs are read by their columns, each thread its own part of every row. Where the rows lie whole, what one
thread reads alternates with what the others do, and the core that writes the next batch waits for all of it to be given
up; where the parts lie apart, only for those of the others.
"""

import dataclasses
import functools

import numpy as np

from .blocks import LARGE
from .call import Array, Call, is_whole, map_arrays_in, owner_of, same_layout
from .parts_of_products import PartsOfProduct, division_of
from .products import AddedProduct

Columns = tuple[slice, ...]


def lay_in_parts(calls: list[Call], given: set[int]) -> list[Call]:
    """Compute in parts what is read by nothing but products, all of which divide its columns in the same way."""
    for maker in calls:
        if maker.target not in given and can_be_computed_in_parts(maker):
            columns = columns_that_all_read(maker, calls)
            if columns is not None:
                calls = compute_in_parts(maker, columns, calls)
    return calls


def can_be_computed_in_parts(call: Call) -> bool:
    """Tell whether a call makes a large matrix out of others like it, and numbers, element by element."""
    matrix = call.written
    return (
        call.elementwise
        and matrix.ndim == 2
        and matrix.size >= LARGE
        and is_whole(matrix)
        and call.target not in call.sources
        and all(array.shape in ((), matrix.shape) for array in call.read)
    )


def columns_that_all_read(maker: Call, calls: list[Call]) -> Columns | None:
    """Return which columns of a result each thread reads; None where others read it, or it is not made once alone."""
    readers = [call for call in calls if maker.target in call.sources]
    if not readers or sum(call.target == maker.target for call in calls) != 1:
        return None
    first, *others = (columns_that_are_read(maker.written, reader) for reader in readers)
    return first if all(columns == first for columns in others) else None


def columns_that_are_read(matrix: Array, reader: Call) -> Columns | None:
    """Return which columns of a matrix each thread of a product reads; None where it is not divided by columns."""
    if not isinstance(reader.function, PartsOfProduct | AddedProduct):
        return None
    first, second, *others = reader.read
    if any(owner_of(array) is owner_of(matrix) for array in (second, *others)):
        return None
    division = reader.function.division if isinstance(reader.function, PartsOfProduct) else division_of(first, second)
    if division is None or (division.axis == "inner" and isinstance(reader.function, AddedProduct)):
        return None  # what is added is divided by its rows alone
    whole = matrix if division.axis == "inner" else matrix.T
    return division.parts if same_layout(first, whole) else None


def compute_in_parts(maker: Call, columns: Columns, calls: list[Call]) -> list[Call]:
    """Return calls in which a matrix is made, and read, as one matrix for each of its parts."""
    whole = maker.written
    parts = tuple(np.empty((whole.shape[0], part.stop - part.start), whole.dtype) for part in columns)

    def part_of(array: Array, number: int) -> Array:
        if array is whole:
            return parts[number]
        return array if array.ndim == 0 else array[:, columns[number]]

    changed: list[Call] = []
    for call in calls:
        if call is maker:
            for number in range(len(parts)):
                part = functools.partial(part_of, number=number)
                changed.append(dataclasses.replace(call, arguments=map_arrays_in(part, call.arguments)))
        elif maker.target in call.sources:
            first, *others = call.arguments
            operands = parts if same_layout(first, whole) else tuple(part.T for part in parts)
            changed.append(dataclasses.replace(call, arguments=(operands, *others)))
        else:
            changed.append(call)
    return changed
