"""Large results that other cores read are computed in memory of one core's own, and copied to where they are read.

Before a core writes to a line of memory that others have read, it waits until they have given it up, line after line.
Where cores are far apart, that takes several times as long as the computation. A copy of whole lines does not wait. The
results are the same to the bit.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from xpmlp.backends.openblas import count_products_at_once

from .blocks import LARGE, can_be_divided
from .call import Array, Call, is_whole, owner_of
from .combinations import Combination
from .parts_of_products import PartsOfProduct, division_of
from .polynomials import ONE
from .products import AddedProduct


def hand_over(calls: list[Call], given: set[int]) -> list[Call]:
    """Compute large results apart, and copy them, where threads of BLAS read them."""
    read = {id(owner_of(array)) for call in calls for array in read_by_threads(call)}
    makers = [call.target for call in calls]
    changed = []
    for call in calls:
        shared = call.target in read - given and makers.count(call.target) == 1
        if shared and call.elementwise and call.written.size >= LARGE and is_whole(call.written):
            apart = np.empty_like(call.written)
            arguments = tuple(apart if i == call.output else a for i, a in enumerate(call.arguments))
            changed.append(dataclasses.replace(call, arguments=arguments))
            # Where it is not made piece by piece, a copy that is elementwise would have both put in the same place.
            changed.append(Call(np.copyto, (call.written, apart), 0, elementwise=can_be_divided(call)))
        else:
            changed.append(call)
    return changed


def read_by_threads(call: Call) -> Iterator[Array]:
    """Go through the arrays that a call has several threads of BLAS read."""
    if isinstance(call.function, PartsOfProduct | AddedProduct):
        a, b, *_ = call.arguments
        if isinstance(a, tuple):
            _, *others = a  # the first is read by the thread that asks for the product
            yield from (*others, b)
        elif isinstance(call.function, PartsOfProduct) or division_of(a, b) is not None:
            yield from (a, b)
    elif isinstance(call.function, Combination) and count_products_at_once(call.written.dtype) > 1:
        arrays, _, _ = call.function.parts(call.arguments)
        if call.function.coefficients[call.function.onto] == ONE:
            yield from (array for position, array in enumerate(arrays) if position != call.function.onto)
