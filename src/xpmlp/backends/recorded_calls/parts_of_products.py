"""Large products in parts, one for each thread: see `divided_products` for which, and why."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from xpmlp.backends.divided_products import Division, divide_product
from xpmlp.backends.openblas import Factors, Product, bind_products, count_products_at_once

from .call import Array, Call, only_reader, owner_of, same_layout
from .scaled_products import ScaledProduct

WholeOrParts: TypeAlias = Array | tuple[Array, ...]
"""A matrix, or those that its parts are; see `parts_of_operands`."""


@dataclass(frozen=True, eq=False)
class PartsOfProduct:
    """The call that computes a product's parts: those of its rows in their places, those that are to be added apart.

    Attributes
    ----------
    scale
        What each is multiplied by.
    begun
        Whether the last is added to what is there.
    """

    division: Division
    scale: float = 1.0
    begun: bool = False

    def __call__(self, a: WholeOrParts, b: Array, out: Array) -> None:
        """Compute them with NumPy."""
        for product, (scale, kept) in zip(take_parts(self.division, a, b, out), self.factors, strict=True):
            multiple = np.matmul(product.a, product.b) * out.dtype.type(scale)
            np.copyto(product.out, multiple + product.out if kept else multiple)

    def bind(self, a: WholeOrParts, b: Array, out: Array) -> Callable[[], None] | None:
        """Return a function that computes them between these arrays at once; None where there is nothing that can."""
        return bind_products(take_parts(self.division, a, b, out), self.factors)

    @property
    def factors(self) -> list[tuple[float, float]]:
        """What each part is multiplied by, and what is there."""
        *others, _ = self.division.parts
        return [*((self.scale, 0.0) for _ in others), (self.scale, 1.0 if self.begun else 0.0)]


def take_parts(division: Division, a: WholeOrParts, b: Array, out: Array) -> list[Product]:
    """Return the products that a product's parts are; for parts of the inner axis, `out` has one place for each."""
    parts = division.parts
    if division.axis == "rows":
        firsts = a if isinstance(a, tuple) else [a[part] for part in parts]
        return [Product(first, b, out[part]) for first, part in zip(firsts, parts, strict=True)]
    firsts = a if isinstance(a, tuple) else [a[:, part] for part in parts]
    return [Product(first, b[part], place) for first, part, place in zip(firsts, parts, out, strict=True)]


def divide_products(calls: list[Call]) -> list[Call]:
    """Replace large products by their parts, and the sum of these where they are to be added."""
    for product in calls:
        if product.function is np.matmul or isinstance(product.function, ScaledProduct):
            division = division_of(*product.read)
            if division is not None:
                calls = divide_one(product, division, calls)
    return calls


def divide_one(product: Call, division: Division, calls: list[Call]) -> list[Call]:
    """Replace a product by its parts.

    Where they are added, and all that is done with the sum is to add a bias, one of them begins with that.
    """
    scale = product.function.scale if isinstance(product.function, ScaledProduct) else 1.0
    place = calls.index(product)
    if division.axis == "rows":
        return [*calls[:place], Call(PartsOfProduct(division, scale), product.arguments, 2), *calls[place + 1 :]]
    reader = only_reader(calls, product)
    bias = None if reader is None else added_bias(product, reader)
    last = product if reader is None or bias is None else reader
    out = last.written
    parts = np.empty((len(division.parts), *out.shape), out.dtype)
    new = [
        Call(PartsOfProduct(division, scale, begun=bias is not None), (*product.read, parts), 2),
        Call(np.add, (parts[0], parts[1], out), 2, elementwise=True),
        *(Call(np.add, (out, part, out), 2, elementwise=True) for part in parts[2:]),
    ]
    if bias is not None:
        new.insert(0, Call(np.copyto, (parts[-1], bias), 0))
    place = calls.index(last)
    return [call for call in calls[:place] if call is not product] + new + calls[place + 1 :]


def added_bias(product: Call, reader: Call) -> Array | None:
    """Return the row that a call adds to all rows of a product; None where it does anything else."""
    if reader.function is not np.add or len(reader.read) != 2:
        return None
    first, second = reader.read
    bias, matrix = (first, second) if id(owner_of(second)) == product.target else (second, first)
    row = bias.ndim > 0 and bias.size == bias.shape[-1]
    whole = same_layout(matrix, product.written) and same_layout(reader.written, product.written)
    return bias if row and whole and bias.dtype == matrix.dtype else None


def bind_rows(a: WholeOrParts, b: Array, out: Array, factors: Factors) -> Callable[[], None] | None:
    """Return what adds a product to what is there, each thread some rows; None where it is not divided so.

    Parameters
    ----------
    factors
        See `bind_added_product`.
    """
    division = rows_of(a) if isinstance(a, tuple) else division_of(a, b)
    if division is None or division.axis != "rows":
        return None
    parts = take_parts(division, a, b, out)
    return bind_products(parts, factors if callable(factors) else [factors] * len(parts))


def rows_of(parts: tuple[Array, ...]) -> Division:
    """Return how the rows of a matrix are divided that lies in parts."""
    ends = itertools.accumulate(map(len, parts), initial=0)
    return Division("rows", tuple(slice(start, stop) for start, stop in itertools.pairwise(ends)))


def division_of(a: Array, b: Array) -> Division | None:
    """Return how a product of two arrays is divided between the threads that there are; None where it is not."""
    if a.ndim != 2 or b.ndim != 2:
        return None
    (rows, inner), columns = a.shape, b.shape[1]
    return divide_product(rows, inner, columns, count_products_at_once(a.dtype))
