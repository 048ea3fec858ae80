"""Large multiples that are divided are multiplied last: (c x) / y is c (x / y), a multiple that can be added in one go.

So Adam's update of a weight becomes one. The numbers are the same but for rounding.
"""

import numpy as np

from .call import Call, only_reader, owner_of
from .combinations import is_linear


def multiply_after_dividing(calls: list[Call]) -> list[Call]:
    """Divide first what is multiplied by a number for that alone."""
    for quotient in calls:
        if quotient.function is np.divide:
            multiples = [call for call in calls if call.target == id(owner_of(quotient.read[0]))]
            if len(multiples) == 1 and is_multiple_for(quotient, multiples[0], calls):
                calls = exchange(multiples[0], quotient, calls)
    return calls


def is_multiple_for(quotient: Call, multiple: Call, calls: list[Call]) -> bool:
    """Tell whether a call multiplies a large array by a number, and all of it is for a quotient alone."""
    return (
        is_linear(multiple)
        and multiple.function is np.multiply
        and id(owner_of(quotient.read[1])) != multiple.target
        and quotient.read[0].shape == multiple.written.shape == quotient.written.shape
        and quotient.written.dtype == multiple.written.dtype
        and only_reader(calls, multiple) is quotient
    )


def exchange(multiple: Call, quotient: Call, calls: list[Call]) -> list[Call]:
    """Return calls that divide before they multiply."""
    (number,) = (array for array in multiple.read if array.ndim == 0)
    (dividend,) = (array for array in multiple.read if array.ndim > 0)
    divided = np.empty_like(multiple.written)
    new = [
        Call(np.divide, (dividend, quotient.read[1], divided), 2, elementwise=True),
        Call(np.multiply, (divided, number, quotient.written), 2, elementwise=True),
    ]
    place = calls.index(quotient)
    return [call for call in calls[:place] if call is not multiple] + new + calls[place + 1 :]
