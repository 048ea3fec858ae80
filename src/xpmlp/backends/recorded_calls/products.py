"""Products that are only added to a weight, as one call: W ← W + s A B.

The numbers are the same but for rounding: the product is not rounded before it is multiplied and added.
"""

from collections.abc import Callable

import numpy as np

from xpmlp.backends.openblas import bind_added_product

from .blocks import LARGE
from .call import Array, Call, is_whole, owner_of


class AddedProduct:
    """The call ``out = onto + scale * a @ b``."""

    def __call__(self, a: Array, b: Array, scale: Array, onto: Array, out: Array) -> None:
        """Compute it with NumPy."""
        np.add(np.multiply(np.matmul(a, b), scale), onto, out=out)

    def bind(self, a: Array, b: Array, scale: Array, onto: Array, out: Array) -> Callable[[], None] | None:
        """Return a function that computes it between these arrays in one go; None where there is nothing that can."""
        return bind_added_product(a, b, scale, onto, out)


added_product = AddedProduct()


def add_products_in_one_go(calls: list[Call], given: set[int]) -> list[Call]:
    """Replace large products that are scaled, added to a given array, and copied there, and used for nothing else."""
    makers = {call.target: call for call in calls}
    uses: dict[int, int] = {}
    for call in calls:
        for owner in call.sources:
            uses[owner] = uses.get(owner, 0) + 1

    def made_by(array: Array, function: np.ufunc) -> Call | None:
        """Return the call that made an array for one other call alone, if it is of that function."""
        owner = id(owner_of(array))
        call = makers.get(owner)
        fits = call is not None and call.function is function and uses[owner] == 1 and is_whole(array)
        return call if fits and owner not in given else None

    replaced: dict[Call, Call | None] = {}
    for copy in calls:
        if copy.function is np.copyto and copy.target in given and len(copy.read) == 1 and copy.written.size >= LARGE:
            total = made_by(copy.read[0], np.add)
            scaled = total and made_by(total.read[0], np.multiply)
            product = scaled and made_by(scaled.read[0], np.matmul)
            if total and scaled and product and is_addable(product, scaled, total, copy):
                (a, b), scale, onto, out = product.read, scaled.read[1], total.read[1], total.written
                if is_overwritten(product.sources, calls, product, total) or is_overwritten(
                    {id(owner_of(scale))}, calls, scaled, total
                ):
                    continue
                replaced |= {product: None, scaled: None}
                replaced[total] = Call(added_product, (a, b, scale, onto, out), 4, added_to=3)
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def is_overwritten(owners: set[int], calls: list[Call], first: Call, last: Call) -> bool:
    """Tell whether what a call reads is something else before another, which is to read it in its place."""
    return any(call.target in owners for call in calls[calls.index(first) : calls.index(last)])


def is_addable(product: Call, scaled: Call, total: Call, copy: Call) -> bool:
    """Tell whether calls are of matrices, scaled by one number, and added to what the total is then copied to."""
    return (
        product.written.ndim == 2
        and scaled.read[1].ndim == 0
        and id(owner_of(total.read[1])) == copy.target
        and total.read[1].shape == product.written.shape == copy.written.shape
        and total.read[1].dtype == product.written.dtype == scaled.read[1].dtype
    )
