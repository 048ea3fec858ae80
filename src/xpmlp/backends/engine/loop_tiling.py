"""Loop tiling: successive elementwise ops on large arrays, executed one after the other on a tile that fits the cache.

An optimizer's update of a weight is a dozen such ops. Each of them on the whole weight fetches it, and what the ops
before have made of it, from beyond the cache again; all of them on one tile, then all on the next, fetch it once.
"""

import math
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import Any

from .buffers import Places, place_op
from .ops import Array, Op, arrays_in, buffer_of, is_whole, map_arrays

LARGE = 2**15  # elements of an array that is worth tiling
CACHE = 2**20  # bytes: a tile of every array in a loop fits the second cache of a core
GRAIN = 16  # tiles begin at multiples of so many elements, those of the processor's widest registers


def tile_loops(ops: list[Op], places: Places) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Iterate over the calls that execute ops in the given places."""
    for shape, run in groupby(ops, loop_shape):
        placed = [place_op(op, places) for op in run]
        size = 1 if shape is None else placed[0].result.size
        length = 1 if shape is None else tile_length(placed, size)
        for start in range(0, size, length):
            for op in placed:
                take_tile = partial(tile_of, start=start, stop=start + length)
                yield op.function, map_arrays(take_tile, op.arguments) if length < size else op.arguments


def loop_shape(op: Op) -> tuple[tuple[int, ...], int] | None:
    """Return the shape and the itemsize that ops tiled together have in common; None if an op cannot be tiled."""
    arrays = list(arrays_in(op.arguments))
    # Elements of one size lie at the same place in memory that arrays share. A number must not be part of an array.
    tileable = op.elementwise and op.result.size >= LARGE and all(is_whole(array) for array in arrays)
    same = {(array.shape, array.itemsize) for array in arrays if array.ndim > 0}
    return same.pop() if tileable and len(same) == 1 else None


def tile_length(ops: list[Op], size: int) -> int:
    """Return the elements of a tile: as many as fit the cache, in tiles of equal length."""
    itemsizes = {id(buffer_of(a)): a.itemsize for op in ops for a in arrays_in(op.arguments) if a.ndim > 0}
    count = math.ceil(size * sum(itemsizes.values()) / CACHE)
    return GRAIN * math.ceil(math.ceil(size / GRAIN) / count)


def tile_of(array: Array, start: int, stop: int) -> Array:
    """Return a tile of an array; of a number, the number."""
    return array if array.ndim == 0 else array.reshape(-1)[start:stop]
