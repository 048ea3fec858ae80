"""Arrays of few columns, such as logits, lie column by column: what is done along a row is then done for many at once.

The largest of ten numbers, found 128 times, takes NumPy six times as long as the larger of 128 pairs, found nine times.
Where the other operand lies row by row, as targets do that have been gathered, a call takes four times as long as where
both lie alike: such an operand is copied. The numbers are the same but for rounding: sums are made in another order.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from .call import Array, Call, arrays_in, map_arrays_in, owner_of

MOST_COLUMNS = 32
ROWS_A_COLUMN = 4  # with fewer, there is little to do at once
REDUCTIONS = {np.add.reduce, np.maximum.reduce, np.minimum.reduce}


def lay_in_columns(calls: list[Call], given: set[int]) -> list[Call]:
    """Lay results column by column where something is reduced along their rows, and what is computed with them."""
    owners = {call.target: owner_of(call.written) for call in calls}
    candidates = {key for key, owner in owners.items() if key not in given and has_few_columns(owner)}
    for call in calls:
        candidates -= {id(owner_of(a)) for a in arrays_in(call.arguments) if not is_turnable(a)}
        if not (call.elementwise or call.function in (np.matmul, np.ndarray.take)):
            candidates.discard(call.target)
    chosen = {key for call in calls if is_reduction_of_rows(call) for key in call.sources & candidates}
    while more := {key for call in calls if call.elementwise for key in neighbours(call, candidates, chosen)} - chosen:
        chosen |= more
    turned = {key: np.empty(owners[key].shape[::-1], owners[key].dtype) for key in chosen}
    turn = functools.partial(turn_one, turned=turned)
    changed: list[Call] = []
    for call in calls:
        if chosen.isdisjoint(call.sources | {call.target}):
            changed.append(call)
            continue
        arguments = map_arrays_in(turn, call.arguments)
        if call.function is np.ndarray.take and call.target in chosen:
            gathered = tuple(call.written if i == call.output else a for i, a in enumerate(arguments))
            changed.append(dataclasses.replace(call, arguments=gathered))
            changed.append(Call(np.copyto, (arguments[call.output], call.written), 0))
        else:
            changed.append(dataclasses.replace(call, arguments=arguments))
    return changed


def has_few_columns(owner: Array) -> bool:
    """Tell whether an array is one of numbers in few columns and many rows."""
    if owner.ndim != 2 or owner.dtype.kind != "f" or not owner.flags.c_contiguous:
        return False
    rows, columns = owner.shape
    fits: bool = 1 < columns <= MOST_COLUMNS and rows >= ROWS_A_COLUMN * columns
    return fits


def is_turnable(array: Array) -> bool:
    """Tell whether an array is all of its owner's, or the transpose of that."""
    owner = owner_of(array)
    layouts = [(whole.shape, whole.strides) for whole in (owner, owner.T)]
    return array.itemsize == owner.itemsize and (array.shape, array.strides) in layouts


def is_reduction_of_rows(call: Call) -> bool:
    """Tell whether a call reduces a matrix along its rows."""
    if call.function not in REDUCTIONS:
        return False
    _, axis, *_ = call.arguments
    return call.read[0].ndim == 2 and axis in (-1, 1, (-1,), (1,))


def neighbours(call: Call, candidates: set[int], chosen: set[int]) -> set[int]:
    """Return the candidates that an elementwise call computes with a chosen one, or from it."""
    together = (call.sources | {call.target}) & candidates
    return together if together & chosen else set()


def turn_one(array: Array, turned: dict[int, Array]) -> Any:
    """Return the array in another's place that lies the other way round."""
    owner = owner_of(array)
    columns = turned.get(id(owner))
    if columns is None:
        return array
    return columns.T if array.shape == owner.shape else columns
