"""Which numbers, arrays without axes, are equal whenever a recording is played."""

from collections.abc import Callable, Hashable

from .call import Array, Call, address, owner_of

CONSTANT = "constant"


def describe_numbers(calls: list[Call], given: set[int]) -> Callable[[Array], Hashable]:
    """Return a function that tells what a number is: those that it tells the same of are equal."""
    makers: dict[int, list[Call]] = {}
    for call in calls:
        makers.setdefault(call.target, []).append(call)
    changing = {owner for owner, made in makers.items() if owner in given or len(made) > 1}

    def describe(number: Array) -> Hashable:
        owner = id(owner_of(number))
        made = makers.get(owner, [])
        if not made and owner not in given:
            return (CONSTANT, number.dtype, number.tobytes())
        whole = owner_of(number).ndim == 0
        if whole and len(made) == 1 and made[0].elementwise and made[0].sources.isdisjoint(changing):
            return (made[0].function, number.dtype, *(describe(part) for part in made[0].read))
        return ("place", owner, address(number))

    return describe


def is_constant(description: Hashable) -> bool:
    """Tell whether what is described is the same whenever the recording is played."""
    return isinstance(description, tuple) and description[0] == CONSTANT
