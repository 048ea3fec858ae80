"""Sums of multiples of large arrays, as few calls as they have terms: y ← Σ cᵢ xᵢ.

NumPy makes a new array of every multiple, and another of every sum. BLAS adds a multiple to what is there (axpy, and
axpby where that is multiplied too), in several threads: an update with Nesterov's momentum and a penalty, eight calls
of NumPy's, is four of these. The numbers are the same but for rounding.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xpmlp.backends.openblas import bind_combination

from .blocks import can_be_divided
from .call import Array, Call, owner_of
from .numbers import describe_numbers
from .polynomials import ONE, ZERO, Numbers, Polynomial, add, evaluate, multiply

Terms = dict[int, tuple[Array, Polynomial]]
"""Arrays, by the identity of what owns them, and for each what it is multiplied by."""


@dataclass(frozen=True, eq=False)
class Combination:
    """The call ``out = Σ cᵢ xᵢ``, made with the xᵢ, the numbers that the cᵢ are made of, and `out`.

    Attributes
    ----------
    coefficients
        The cᵢ.
    onto
        Which of the xᵢ `out` may be written over.
    """

    coefficients: tuple[Polynomial, ...]
    onto: int

    def values(self, numbers: Sequence[Array]) -> list[float]:
        """Return all cᵢ as they are now."""
        now = list(map(float, numbers))
        return [evaluate(coefficient, now) for coefficient in self.coefficients]

    def parts(self, arguments: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...], Array]:
        """Return the xᵢ, the numbers, and `out`."""
        terms = len(self.coefficients)
        return arguments[:terms], arguments[terms:-1], arguments[-1]

    def __call__(self, *arguments: Array) -> None:
        """Compute it with NumPy."""
        arrays, numbers, out = self.parts(arguments)
        multiples = (out.dtype.type(c) * x for c, x in zip(self.values(numbers), arrays, strict=True))
        np.copyto(out, sum(multiples))

    def bind(self, *arguments: Array) -> Callable[[], None] | None:
        """Return a function that computes it between these arrays; None where there is nothing that can."""
        arrays, numbers, out = self.parts(arguments)
        values = functools.partial(self.values, numbers) if numbers else self.values(())
        return bind_combination(arrays, values, self.onto, out)


def combine_multiples(calls: list[Call], given: set[int]) -> list[Call]:
    """Replace sums of multiples of large arrays by combinations.

    A multiple, or a sum that only one other needs, is not computed for itself: its terms become those of whatever needs
    it, if all that do are multiples and sums as well.
    """
    readers: dict[int, list[Call]] = {}
    for call in calls:
        for owner in call.sources:
            readers.setdefault(owner, []).append(call)
    linear = {call for call in calls if is_linear(call)}
    numbers = Numbers(describe_numbers(calls, given))
    dissolved: dict[int, Terms] = {}  # by the owners of what is not computed for itself
    combined: list[Call] = []
    for number, call in enumerate(calls):
        if call not in linear or call.target in given:
            combined.append(call)
            continue
        terms = terms_of(call, dissolved, numbers)
        needed_by = readers.get(call.target, [])
        simple = len(terms) == 1 or len(needed_by) == 1
        if needed_by and simple and linear.issuperset(needed_by) and stay(terms, numbers, calls[number:], needed_by):
            dissolved[call.target] = terms
        elif call.sources.isdisjoint(dissolved):
            combined.append(call)
        else:
            combined.append(make_combination(terms, numbers, call.written))
    return choose_what_to_write_over(combined, given)


def is_linear(call: Call) -> bool:
    """Tell whether a call multiplies a large array by a number, or adds or subtracts two of them."""
    if call.written.dtype.kind != "f" or not can_be_divided(call):
        return False
    numbers = sum(array.ndim == 0 for array in call.read)
    if any(array.dtype != call.written.dtype for array in call.read):
        return False
    return (call.function is np.multiply and numbers == 1) or (
        call.function in (np.add, np.subtract) and len(call.read) == 2 and numbers == 0
    )


def terms_of(call: Call, dissolved: dict[int, Terms], numbers: Numbers) -> Terms:
    """Return the terms that a linear call's result consists of."""
    if call.function is np.multiply:
        (number,) = (array for array in call.read if array.ndim == 0)
        (array,) = (array for array in call.read if array.ndim > 0)
        factor = numbers.polynomial(number)
        return {owner: (x, multiply(c, factor)) for owner, (x, c) in expand(array, dissolved).items()}
    first, second = (expand(array, dissolved) for array in call.read)
    sign = -1.0 if call.function is np.subtract else 1.0
    terms = {}
    for owner, (x, _) in {**first, **second}.items():
        before, more = (part[owner][1] if owner in part else ZERO for part in (first, second))
        terms[owner] = (x, add(before, more, sign))
    return terms


def expand(array: Array, dissolved: dict[int, Terms]) -> Terms:
    """Return the terms of an array: those of what it dissolved into, or itself once."""
    owner = id(owner_of(array))
    return dissolved.get(owner, {owner: (array, ONE)})


def stay(terms: Terms, numbers: Numbers, later: Iterable[Call], needed_by: list[Call]) -> bool:
    """Tell whether terms are still what they are when the last of those that need them is made."""
    _, factors = numbers.choose(coefficient for _, coefficient in terms.values())
    used = terms.keys() | {id(owner_of(number)) for number in factors}
    waiting = set(map(id, needed_by))
    for call in later:
        waiting.discard(id(call))
        if not waiting:
            return True
        if call.target in used:
            return False
    return False


def make_combination(terms: Terms, numbers: Numbers, out: Array) -> Call:
    """Return the call that computes a sum of terms."""
    coefficients, factors = numbers.choose(coefficient for _, coefficient in terms.values())
    arguments = (*(array for array, _ in terms.values()), *factors, out)
    return Call(Combination(coefficients, 0), arguments, len(arguments) - 1, added_to=0)


def choose_what_to_write_over(calls: list[Call], given: set[int]) -> list[Call]:
    """Let every combination be written over what its result is copied to, or else over what nobody needs after it."""
    last_reader = {owner: number for number, call in enumerate(calls) for owner in call.sources}
    kept_in = {
        id(owner_of(call.read[0])): call.target
        for call in calls
        if call.function is np.copyto and call.target in given and len(call.read) == 1
    }
    chosen = []
    for number, call in enumerate(calls):
        if isinstance(call.function, Combination):
            arrays, _, _ = call.function.parts(call.arguments)
            owners = [id(owner_of(array)) for array in arrays]
            place = call.target if call.target in owners else kept_in.get(call.target)
            ending = [owner not in given and last_reader[owner] == number for owner in owners]
            onto = owners.index(place) if place in owners else ending.index(True) if any(ending) else 0
            call = Call(Combination(call.function.coefficients, onto), call.arguments, call.output, added_to=onto)
        chosen.append(call)
    return chosen
