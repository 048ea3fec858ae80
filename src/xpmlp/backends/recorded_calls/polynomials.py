"""Sums of products of numbers that only the time of playing tells, such as 1 − ηα of a learning rate and a penalty."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from .call import Array
from .numbers import is_constant

Monomial = tuple[int, ...]
"""A product of numbers, by their positions among all, in order; none of them is 1."""

Polynomial = Mapping[Monomial, float]
"""What each product is multiplied by before they are added; nothing is multiplied by 0."""

ZERO: Polynomial = {}
ONE: Polynomial = {(): 1.0}


class Numbers:
    """The numbers that polynomials are of.

    Parameters
    ----------
    describe
        Tells the same of two arrays without axes only if they are always equal.
    """

    def __init__(self, describe: Callable[[Array], Hashable]) -> None:
        self.describe = describe
        self.positions: dict[Hashable, int] = {}
        self.arrays: list[Array] = []

    def polynomial(self, number: Array) -> Polynomial:
        """Return a number as a polynomial."""
        position = self.positions.setdefault(self.describe(number), len(self.arrays))
        if position == len(self.arrays):
            self.arrays.append(number)
        return {(position,): 1.0}

    def choose(self, polynomials: Iterable[Polynomial]) -> tuple[tuple[Polynomial, ...], tuple[Array, ...]]:
        """Return the same polynomials, with their constants worked in, of those numbers that they then need."""
        polynomials = tuple(map(self.work_in_constants, polynomials))
        needed = sorted({position for each in polynomials for monomial in each for position in monomial})
        place = {position: number for number, position in enumerate(needed)}
        chosen = tuple({tuple(map(place.__getitem__, m)): factor for m, factor in each.items()} for each in polynomials)
        return chosen, tuple(self.arrays[position] for position in needed)

    def work_in_constants(self, polynomial: Polynomial) -> Polynomial:
        """Return a polynomial of those numbers alone that change."""
        constant = {p for m in polynomial for p in m if is_constant(self.describe(self.arrays[p]))}
        changed: Polynomial = ZERO
        for monomial, factor in polynomial.items():
            known = math.prod(float(self.arrays[position]) for position in monomial if position in constant)
            changed = add(changed, {tuple(p for p in monomial if p not in constant): factor * known})
        return changed


def add(first: Polynomial, second: Polynomial, times: float = 1.0) -> Polynomial:
    """Return the sum of one and so many times another."""
    factors = {m: first.get(m, 0.0) + times * second.get(m, 0.0) for m in {**first, **second}}
    return {monomial: factor for monomial, factor in factors.items() if factor}


def multiply(first: Polynomial, second: Polynomial) -> Polynomial:
    """Return the product of two."""
    product: Polynomial = ZERO
    for monomial, factor in first.items():
        product = add(product, {tuple(sorted(monomial + other)): times for other, times in second.items()}, factor)
    return product


def divide(dividend: Polynomial, divisor: Polynomial) -> Polynomial | None:
    """Return what times the divisor is the dividend, whatever the numbers are; None where that cannot be seen.

    The divisor is to be one product.
    """
    if len(divisor) != 1:
        return None
    ((factors, by),) = divisor.items()
    quotient = {}
    for monomial, times in dividend.items():
        rest = list(monomial)
        for factor in factors:
            if factor not in rest:
                return None
            rest.remove(factor)
        quotient[tuple(rest)] = times / by
    return quotient


def evaluate(polynomial: Polynomial, numbers: Sequence[float]) -> float:
    """Return what a polynomial comes to."""
    total = 0.0
    for monomial, factor in polynomial.items():
        for position in monomial:
            factor *= numbers[position]
        total += factor
    return total
