"""A recorded step as a list of calls whose every array has its place in memory before the first is made."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpmlp.backends.openblas import find_blas

from .blocks import divide, exist_in_pieces, gather_groups
from .call import Call, map_arrays_in
from .columns import lay_in_columns
from .combinations import Combination, combine_multiples
from .handed_over import hand_over
from .inner_products import join_inner_products
from .memory import assign_memory, compute_where_kept, move
from .parts_of_operands import lay_in_parts
from .parts_of_products import PartsOfProduct, divide_products
from .products import AddedProduct, add_products_in_one_go
from .quotients import multiply_after_dividing
from .recorder import Recording
from .scaled_products import ScaledProduct, multiply_products, scale_products
from .side_by_side import put_side_by_side
from .sums import sum_by_products

Bindable = AddedProduct | Combination | PartsOfProduct | ScaledProduct
BoundCall = tuple[Callable[..., Any], tuple[Any, ...]]


class Program(NamedTuple):
    """Calls with their arguments, in the order in which they are made.

    Attributes
    ----------
    moved
        Where arrays that were there before the recording are from now on, by their identity.
    """

    calls: tuple[BoundCall, ...]
    moved: dict[int, Any]

    def place_of(self, array: Any) -> Any:
        """Return the array that the program reads and writes in an array's place."""
        return self.moved.get(id(array), array)

    def play(self) -> None:
        """Make them all."""
        for function, arguments in self.calls:
            function(*arguments)


def make_programs(recording: Recording, *, rounding_less: bool = False) -> tuple[Program, ...]:
    """Return what makes a recording's calls again, in as little memory and as few turns as it takes.

    Where it depends on the machine what is faster, there are several programs, which do the same to the bit with the
    same given arrays.

    Parameters
    ----------
    rounding_less
        Whether the results may be rounded elsewhere, as where products are added to weights in one go. Without it they
        are those of the recorded calls to the bit.
    """
    given = {id(array) for array in recording.given}
    joined, given, moved = put_side_by_side(leave_out_unused(recording.calls, given), given)
    needed = leave_out_unused(joined, given)  # each of what is done together had its own numbers
    if rounding_less:
        if find_blas():
            needed = add_products_in_one_go(multiply_products(needed, given), given)
            needed = scale_products(leave_out_unused(needed, given), given)
            needed = divide_products(combine_multiples(multiply_after_dividing(needed), given))
        needed = join_inner_products(lay_in_columns(sum_by_products(needed), given), given)
        needed = lay_in_parts(needed, given)
    handed_over = hand_over(needed, given)
    plans = [needed] if len(handed_over) == len(needed) else [handed_over, needed]
    return tuple(Program(arrange(plan, given), moved) for plan in plans)


def arrange(calls: list[Call], given: set[int]) -> tuple[BoundCall, ...]:
    """Return calls in the order, and the pieces, in which they are made, with their arrays where they are then."""
    groups = gather_groups(calls)
    calls, places = compute_where_kept([call for group in groups for call in group], given)
    groups = [group for group in groups if group[0] in calls]
    settled = given | places.keys()
    pieces = exist_in_pieces(groups, settled)
    places |= assign_memory(groups, settled, pieces)
    made: list[BoundCall] = []
    for group in groups:
        if len(group) > 1:
            made += [bind(*call) for call in divide(group, places, pieces)]
        else:
            (call,) = group
            made.append(bind(call.function, map_arrays_in(functools.partial(move, places=places), call.arguments)))
    return tuple(made)


def bind(function: Callable[..., Any], arguments: tuple[Any, ...]) -> BoundCall:
    """Return what is to be called, and with what; some can be prepared for their arguments."""
    bound = function.bind(*arguments) if isinstance(function, Bindable) else None
    return (function, arguments) if bound is None else (bound, ())


def leave_out_unused(calls: Sequence[Call], given: set[int]) -> list[Call]:
    """Return the calls without those whose results nobody reads."""
    used = set(given)
    kept = []
    for call in reversed(calls):
        if call.target in used:
            kept.append(call)
            used |= call.sources
    return kept[::-1]
