"""Inputs that are divided by a number for products alone, as the bytes of images are: the products are divided instead.

    (x / c) W = (x W) / c,   (x / c)ᵀ d = (xᵀ d) / c

BLAS multiplies a product by a number for nothing, while dividing the inputs takes half as long as fetching them. The
numbers are the same but for rounding.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from xpmlp.backends.openblas import Product, bind_added_product

from .blocks import can_be_divided
from .call import Array, Call, is_whole, only_reader, owner_of
from .columns import has_few_columns
from .memory import Place, move
from .numbers import describe_numbers, is_constant


@dataclass(frozen=True, eq=False)
class ScaledProduct:
    """The call ``out = scale * a @ b``."""

    scale: float

    def __call__(self, a: Array, b: Array, out: Array) -> None:
        """Compute it with NumPy."""
        np.multiply(np.matmul(a, b), out.dtype.type(self.scale), out=out)

    def bind(self, a: Array, b: Array, out: Array) -> Callable[[], None] | None:
        """Return a function that computes it between these arrays in one go; None where there is nothing that can."""
        return bind_added_product(Product(a, b, out), (self.scale, 0.0))


def multiply_products(calls: list[Call], given: set[int]) -> list[Call]:
    """Replace multiples of large matrices that only products read, by multiples of the products."""
    describe = describe_numbers(calls, given)
    for multiple in calls:
        factor = factor_of(multiple, describe)
        if factor is not None and multiple.target not in given:
            calls = multiply_readers(multiple, factor, calls)
    return calls


def factor_of(call: Call, describe: Callable[[Array], Hashable]) -> float | None:
    """Return the constant that a call multiplies a whole array by; None where it does anything else."""
    if call.function not in (np.multiply, np.divide) or call.written.dtype.kind != "f":
        return None
    first, second = call.read
    array, number = (second, first) if first.ndim == 0 and call.function is np.multiply else (first, second)
    if number.ndim != 0 or array.shape != call.written.shape or array.dtype != call.written.dtype:
        return None
    if not (is_whole(array) and is_whole(call.written) and is_constant(describe(number))):
        return None
    return 1.0 / float(number) if call.function is np.divide else float(number)


def multiply_readers(multiple: Call, factor: float, calls: list[Call]) -> list[Call]:
    """Return calls in which the products that read a multiple are multiplied; the same where others read it too."""
    readers = [call for call in calls if multiple.target in call.sources]
    if not can_be_divided(multiple) or not readers or not all(is_product_with(multiple, reader) for reader in readers):
        return calls
    (array,) = (array for array in multiple.read if array.ndim > 0)
    source = id(owner_of(array))
    between = calls[calls.index(multiple) + 1 : calls.index(readers[-1])]
    if sum(call.target == multiple.target for call in calls) != 1 or any(call.target == source for call in between):
        return calls
    places = {multiple.target: Place(owner_of(array))}
    changed: list[Call] = []
    for call in calls:
        if call in readers:
            first, second = (move(operand, places) for operand in call.read)
            product = np.empty_like(call.written)
            number = np.asarray(factor, product.dtype)
            changed.append(Call(np.matmul, (first, second, product), 2))
            changed.append(Call(np.multiply, (product, number, call.written), 2, elementwise=True))
        elif call is not multiple:
            changed.append(call)
    return changed


def is_product_with(multiple: Call, call: Call) -> bool:
    """Tell whether a call is a product of two matrices, of which one is the multiple."""
    operands = [id(owner_of(operand)) for operand in call.read]
    return (
        call.function is np.matmul
        and all(operand.ndim == 2 for operand in call.read)
        and operands.count(multiple.target) == 1
        and call.written.dtype == multiple.written.dtype
        and is_whole(call.written)
    )


def scale_products(calls: list[Call], given: set[int]) -> list[Call]:
    """Replace products that are multiplied by a constant, and read by nobody else, by one call each."""
    describe = describe_numbers(calls, given)
    for multiple in calls:
        factor = factor_of(multiple, describe) if multiple.target not in given else None
        products = [] if factor is None else [call for call in calls if call.target in multiple.sources]
        if factor is not None and len(products) == 1 and is_scaled_alone(products[0], multiple, calls, given):
            scaled = Call(ScaledProduct(factor), (*products[0].read, multiple.written), 2)
            calls = [scaled if call is multiple else call for call in calls if call is not products[0]]
    return calls


def is_scaled_alone(product: Call, multiple: Call, calls: list[Call], given: set[int]) -> bool:
    """Tell whether a call is a product of matrices that only the multiple reads."""
    return (
        product.function is np.matmul
        and all(operand.ndim == 2 for operand in product.read)
        and product.target not in given
        and is_whole(product.written)
        and not has_few_columns(owner_of(multiple.written))  # which are to lie as BLAS does not write them
        and only_reader(calls, product) is multiple
    )
