"""Products that weights are updated with, as one call with the update: W ← cW + sAB.

In one go, neither the product nor its multiple has to be written down and fetched again. Where a weight has a velocity
that the product goes into as well, it goes into one of the two alone, and the other takes it from there:

    v' = γv + δw + aG,  w' = w + qv + rv'

is made, in place, as

    w ← w + qv,  v ← (γ − δq)v + aG,  v ← v + δw,  w ← w + rv.

For Nesterov's momentum μ, a penalty α and a learning rate η that is γ = μ, δ = −ηα, a = −η, q = −μ, r = 1 + μ. The
numbers are the same but for rounding.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xpmlp.backends.openblas import Product, bind_added_product

from .blocks import LARGE
from .call import Array, Call, can_be_put_off, is_whole
from .combinations import Combination, Terms, expand, is_linear, terms_of
from .numbers import describe_numbers
from .parts_of_products import WholeOrParts, bind_rows
from .polynomials import ONE, ZERO, Numbers, Polynomial, add, divide, evaluate, multiply


@dataclass(frozen=True, eq=False)
class AddedProduct:
    """The call ``out = kept * out + scale * a @ b``, made with a, b, the numbers in the factors, and `out`.

    `a` may be given as the matrices that its rows are parted into.

    Attributes
    ----------
    scale, kept
        The factors.
    """

    scale: Polynomial
    kept: Polynomial

    def factors(self, numbers: Sequence[Array]) -> tuple[float, float]:
        """Return `scale` and `kept` as they are now."""
        now = [float(number) for number in numbers]
        return evaluate(self.scale, now), evaluate(self.kept, now)

    def __call__(self, a: WholeOrParts, b: Array, *others: Array) -> None:
        """Compute it with NumPy."""
        *numbers, out = others
        scale, kept = map(out.dtype.type, self.factors(numbers))
        whole = np.concat(a) if isinstance(a, tuple) else a
        np.add(out * kept, np.matmul(whole, b) * scale, out=out)

    def bind(self, a: WholeOrParts, b: Array, *others: Array) -> Callable[[], None] | None:
        """Return a function that computes it between these arrays in one go; None where there is nothing that can."""
        *numbers, out = others
        factors = functools.partial(self.factors, numbers) if numbers else self.factors(())
        in_rows = bind_rows(a, b, out, factors)
        return in_rows if in_rows or isinstance(a, tuple) else bind_added_product(Product(a, b, out), factors)


def add_products_in_one_go(calls: list[Call], given: set[int]) -> list[Call]:
    """Replace large products of which all that comes is sums of multiples that are copied to given arrays."""
    for product in calls:
        if product.function is np.matmul and product.written.ndim == 2 and product.written.size >= LARGE:
            calls = add_product_in_one_go(product, calls, given)
    return calls


def add_product_in_one_go(product: Call, calls: list[Call], given: set[int]) -> list[Call]:
    """Replace one product; return the same calls where that cannot be done."""
    copies = copies_of_sums(product, calls, given)
    if copies is None:
        return calls
    numbers = Numbers(describe_numbers(calls, given))
    makers = {call.target: call for call in calls if is_linear(call)}
    dissolved: dict[int, Terms] = {}
    for owner, call in makers.items():
        dissolved[owner] = terms_of(call, dissolved, numbers)
    update = update_in_place(product, copies, dissolved, numbers)
    members = {product, *copies, *made_by(makers, copies)}
    if update is None or not can_be_put_off(calls, members) or read_what_is_new(calls, members, copies):
        return calls
    last = max(map(calls.index, copies))
    left_out = {product, *copies}
    before, after = ([call for call in part if call not in left_out] for part in (calls[:last], calls[last:]))
    return before + update + after


def copies_of_sums(product: Call, calls: list[Call], given: set[int]) -> list[Call] | None:
    """Return the copies to given arrays in which all that is computed with a product ends; None where it is not so."""
    copies = []
    reached = {product.target}
    if product.target in given or not is_whole(product.written):
        return None
    for call in calls[calls.index(product) + 1 :]:
        if not reached.isdisjoint(call.sources):
            if is_linear(call) and call.target not in given:
                reached.add(call.target)
            elif call.function is np.copyto and len(call.read) == 1 and is_copy_to_weight(call, product, given):
                copies.append(call)
            else:
                return None
    return copies


def is_copy_to_weight(copy: Call, product: Call, given: set[int]) -> bool:
    """Tell whether a copy is one of a whole result to a whole given array like it, which the product does not read."""
    arrays = (copy.written, *copy.read)
    return (
        copy.target in given
        and copy.target not in product.sources
        and all(array.shape == product.written.shape and is_whole(array) for array in arrays)
        and copy.written.dtype == product.written.dtype
    )


def made_by(makers: dict[int, Call], copies: list[Call]) -> set[Call]:
    """Return the calls that, one after the other, make what is copied."""
    found: set[Call] = set()
    waiting = [owner for copy in copies for owner in copy.sources]
    while waiting:
        call = makers.get(waiting.pop())
        if call is not None and call not in found:
            found.add(call)
            waiting += call.sources
    return found


def read_what_is_new(calls: list[Call], members: set[Call], copies: list[Call]) -> bool:
    """Tell whether one of the members reads what a copy has been made to before."""
    written: set[int] = set()
    for call in calls:
        if call in members:
            if not written.isdisjoint(call.sources):
                return True
            if call in copies:
                written.add(call.target)
    return False


def update_in_place(product: Call, copies: list[Call], sums: dict[int, Terms], numbers: Numbers) -> list[Call] | None:
    """Return the calls that write what is copied to where it is copied to; None where it is not of that form."""
    (first, second), places = product.read, [copy.written for copy in copies]
    rows = [expand(copy.read[0], sums) for copy in copies]
    if any(not row.keys() <= {product.target, *(copy.target for copy in copies)} for row in rows):
        return None

    def coefficient(row: int, column: int | None) -> Polynomial:
        owner = product.target if column is None else copies[column].target
        return rows[row][owner][1] if owner in rows[row] else ZERO

    def add_product(row: int, kept: Polynomial) -> Call:
        factors, needed = numbers.choose((coefficient(row, None), kept))
        return Call(AddedProduct(*factors), (first, second, *needed, places[row]), 2 + len(needed))

    def add_multiple(factor: Polynomial, source: int, target: int) -> list[Call]:
        x, y = places[source], places[target]
        factors, needed = numbers.choose((ONE, factor))
        return [Call(Combination(factors, 0), (y, x, *needed, y), 2 + len(needed), added_to=0)] if factor else []

    if len(copies) == 1:
        return [add_product(0, coefficient(0, 0))]
    for w, v in ((0, 1), (1, 0)) if len(copies) == 2 else ():
        r = divide(coefficient(w, None), coefficient(v, None))
        if r is not None and add(coefficient(w, w), multiply(r, coefficient(v, w)), -1.0) == ONE:
            q = add(coefficient(w, v), multiply(r, coefficient(v, v)), -1.0)
            kept = add(coefficient(v, v), multiply(coefficient(v, w), q), -1.0)
            return [
                *add_multiple(q, v, w),
                add_product(v, kept),
                *add_multiple(coefficient(v, w), w, v),
                *add_multiple(r, v, w),
            ]
    return None
