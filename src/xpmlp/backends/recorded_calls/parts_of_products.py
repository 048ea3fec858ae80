"""Large products in parts, one for each thread: see `divided_products` for which, and why."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xpmlp.backends.divided_products import Division, divide_product
from xpmlp.backends.openblas import Factors, Product, bind_products, count_products_at_once

from .call import Array, Call
from .scaled_products import ScaledProduct


@dataclass(frozen=True, eq=False)
class PartsOfProduct:
    """The call that computes a product's parts: those of its rows in their places, those that are to be added apart.

    Attributes
    ----------
    scale
        What each is multiplied by.
    """

    division: Division
    scale: float = 1.0

    def __call__(self, a: Array, b: Array, out: Array) -> None:
        """Compute them with NumPy."""
        for product in take_parts(self.division, a, b, out):
            np.multiply(np.matmul(product.a, product.b), product.out.dtype.type(self.scale), out=product.out)

    def bind(self, a: Array, b: Array, out: Array) -> Callable[[], None] | None:
        """Return a function that computes them between these arrays at once; None where there is nothing that can."""
        return bind_products(take_parts(self.division, a, b, out), (self.scale, 0.0))


def take_parts(division: Division, a: Array, b: Array, out: Array) -> list[Product]:
    """Return the products that a product's parts are; for parts of the inner axis, `out` has one place for each."""
    if division.axis == "rows":
        return [Product(a[part], b, out[part]) for part in division.parts]
    return [Product(a[:, part], b[part], place) for part, place in zip(division.parts, out, strict=True)]


def divide_products(calls: list[Call]) -> list[Call]:
    """Replace large products by their parts, and the sum of these where they are to be added."""
    divided: list[Call] = []
    for call in calls:
        scale = call.function.scale if isinstance(call.function, ScaledProduct) else 1.0
        divisible = call.function is np.matmul or isinstance(call.function, ScaledProduct)
        division = division_of(*call.read) if divisible else None
        if division is None:
            divided.append(call)
        elif division.axis == "rows":
            divided.append(Call(PartsOfProduct(division, scale), call.arguments, call.output))
        else:
            out = call.written
            parts = np.empty((len(division.parts), *out.shape), out.dtype)
            divided.append(Call(PartsOfProduct(division, scale), (*call.read, parts), 2))
            divided.append(Call(np.add, (parts[0], parts[1], out), 2, elementwise=True))
            divided += [Call(np.add, (out, part, out), 2, elementwise=True) for part in parts[2:]]
    return divided


def bind_rows(product: Product, factors: Factors) -> Callable[[], None] | None:
    """Return what adds a product to what is there, each thread some rows; None where it is not divided so.

    Parameters
    ----------
    factors
        See `bind_added_product`.
    """
    division = division_of(product.a, product.b)
    if division is None or division.axis != "rows":
        return None
    return bind_products(take_parts(division, *product), factors)


def division_of(a: Array, b: Array) -> Division | None:
    """Return how a product of two arrays is divided between the threads that there are; None where it is not."""
    if a.ndim != 2 or b.ndim != 2:
        return None
    (rows, inner), columns = a.shape, b.shape[1]
    return divide_product(rows, inner, columns, count_products_at_once(a.dtype))
