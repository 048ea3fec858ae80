"""Sums of inner products of rows, as a loss has one for each sample, as one inner product of all numbers.

    Σᵢ (aᵢ − xᵢ · yᵢ) = Σᵢ aᵢ − x · y

For ten numbers a row, NumPy takes three times as long for the products as it does for one. The numbers are the same but
for rounding: sums are made in another order.
"""

import numpy as np

from .call import Array, Call, is_whole, only_reader, owner_of, same_layout
from .sums import LEAST_ROWS


def join_inner_products(calls: list[Call], given: set[int]) -> list[Call]:
    """Replace inner products of many rows that are only added up, each added to or taken from a number of its own."""
    for products in calls:
        if products.target not in given and are_products_of_rows(products):
            terms = only_reader(calls, products)
            total = None if terms is None or terms.target in given else only_reader(calls, terms)
            if terms is not None and total is not None and are_added_up(products, terms, total):
                calls = join(products, terms, total, calls)
    return calls


def are_products_of_rows(call: Call) -> bool:
    """Tell whether a call makes inner products of two matrices' rows, and these lie alike and without gaps."""
    if call.function is not np.vecdot:
        return False
    first, second = call.read
    return (
        first.ndim == 2
        and first.shape[0] >= LEAST_ROWS
        and same_layout(first, second)
        and all(is_whole(matrix) or is_whole(matrix.T) for matrix in (first, second))
    )


def are_added_up(products: Call, terms: Call, total: Call) -> bool:
    """Tell whether each product has another number added, or is added or taken off, and all come to one sum."""
    return (
        terms.function in (np.add, np.subtract)
        and total.function == np.add.reduce
        and total.written.ndim == 0
        and all(array.shape == terms.written.shape for array in (*terms.read, products.written, *total.read))
        and all(array.dtype == products.read[0].dtype for array in (*terms.read, terms.written, total.written))
        and sum(id(owner_of(array)) == products.target for array in terms.read) == 1
    )


def join(products: Call, terms: Call, total: Call, calls: list[Call]) -> list[Call]:
    """Return calls that add up the products, and the numbers beside them, apart."""
    dtype = products.written.dtype
    of_products, of_others = np.empty((), dtype), np.empty((), dtype)
    (other,) = (array for array in terms.read if id(owner_of(array)) != products.target)
    sums = tuple(of_others if array is other else of_products for array in terms.read)
    changed = {
        products: Call(np.ndarray.dot, (*map(flatten, products.read), of_products), 2),
        terms: Call(np.add.reduce, (other, -1, None, of_others, False), 3),
        total: Call(terms.function, (*sums, total.written), 2, elementwise=True),
    }
    return [changed.get(call, call) for call in calls]


def flatten(matrix: Array) -> Array:
    """Return all of a matrix's numbers, in the order of its memory."""
    return owner_of(matrix).reshape(-1)
