"""Which part of a large matrix product each thread computes: of a layer, always the same inputs and their weights.

Left to itself, OpenBLAS cuts each product by its own shape: forward by the units, backward by the inputs. Half of what
a core then reads was last written by another, and comes from the other's cache, up to a third of the product's time.
Cut by the inputs both times, each core computes with weights that it has updated itself, and with inputs that it has
read before:

    forward    x W  = Σ x[:, part] W[part]          along the inner axis, a sum of as many products as there are parts
    backward   xᵀ d = [x[:, part]ᵀ d for each part]  along the rows of the result
"""

import itertools
from typing import Literal, NamedTuple

# Below so many operations, handing a part of a matrix product to another thread and waiting for it costs more than it
# saves; on a busy machine, where the other thread waits for a core, a hundred times more.
OPERATIONS_WORTH_THREADS = 8_000_000
OPERATIONS_A_PART = 3_000_000  # OpenBLAS cannot be asked for several small products at once
# Along an axis that is no longer than the other, reading the other operand once more for each part costs what it saves.
LENGTHS_APART = 2
MOST_PARTS = 4  # the sum of the parts is made in one thread
GRAIN = 8  # numbers that the processor computes with at once: parts begin at multiples of it


class Division(NamedTuple):
    """The parts of a product A B: of its inner axis, or of its rows, which are A's."""

    axis: Literal["inner", "rows"]
    parts: tuple[slice, ...]


def divide_product(rows: int, inner: int, columns: int, threads: int) -> Division | None:
    """Return how a product is divided between threads; None where it is left to the library as a whole."""
    operations = 2 * rows * inner * columns
    if not 1 < threads <= MOST_PARTS or operations < max(OPERATIONS_WORTH_THREADS, threads * OPERATIONS_A_PART):
        return None
    if inner >= LENGTHS_APART * rows:
        return Division("inner", cut(inner, threads))
    if rows >= LENGTHS_APART * inner:
        return Division("rows", cut(rows, threads))
    return None


def cut(length: int, parts: int) -> tuple[slice, ...]:
    """Return parts of an axis that are as equal as the grain allows."""
    grains = -(-length // GRAIN)
    ends = [min(length, GRAIN * (grains * part // parts)) for part in range(parts + 1)]
    return tuple(slice(start, stop) for start, stop in itertools.pairwise(ends))
