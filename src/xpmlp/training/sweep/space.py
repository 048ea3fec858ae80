"""The settings that a sweep tries: lists of values, and ranges."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from xpmlp.errors import SettingsError
from xpmlp.training.recipes import Recipe, parse_sizes

# Settings of a recipe that all trials share: with several of them, losses could not be compared.
FIXED = ("loss", "label_smoothing", "class_weight", "ensemble", "dtype", "seed")
RANGE = re.compile(r"\s*([^\s.][^\s]*?)\s*\.\.\s*([^\s]+?)(\s+log)?\s*")
WHOLE = ("batch_size", "epochs")  # settings whose values are whole numbers
SPREAD = 10.0  # of the learning rate, below the recipe's, by default


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included; with `log`, each power of ten is as likely as another."""

    low: float
    high: float
    log: bool = False


Space = Mapping[str, Range | Sequence[Any]]
"""For each swept setting of a `Recipe`, its values or a range of them."""

SWEPT = tuple(field.name for field in fields(Recipe) if field.name not in FIXED)


def default_space(recipe: Recipe) -> Space:
    """Return what is tried if nothing is said: learning rate, size of the network, and penalty."""
    rate = float(recipe.learning_rate)
    return {
        "learning_rate": Range(rate / SPREAD, 3.0 * rate, log=True),
        "hidden_layer_sizes": tuple(dict.fromkeys(((64,), (128,), recipe.hidden_layer_sizes, (128, 128)))),
        "penalty": tuple(sorted({0.0, 0.01, 0.1, 1.0, float(recipe.penalty)})),
    }


def parse_space(texts: Mapping[str, Sequence[str]]) -> Space:
    """Return a space from the texts that are given for each setting.

    ``"0.001,0.01"`` is two values, ``"1e-4..0.1"`` a range and ``"1e-4..0.1 log"`` one in powers of ten. A text of
    `hidden_layer_sizes` is one network, such as ``"256,128"`` or ``"none"``.

    Raises
    ------
    SettingsError
        For a text that is none of these.
    """
    space: dict[str, Range | Sequence[Any]] = {}
    for name, given in texts.items():
        if name == "hidden_layer_sizes":
            space[name] = tuple(map(parse_sizes, given))
            continue
        (text,) = given
        found = RANGE.fullmatch(text)
        if found:
            low, high = (parse_number(name, part) for part in found.groups()[:2])
            space[name] = Range(low, high, log=found.group(3) is not None)
        else:
            space[name] = tuple(parse_value(name, part.strip()) for part in text.split(","))
    return space


def parse_number(name: str, text: str) -> float:
    """Return a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingsError(
            f"{name}: {text!r} is not a number. Write values as 0.001,0.01 or a range as 1e-4..0.1 log."
        )
    return value


def parse_value(name: str, text: str) -> Any:
    """Return one value of a setting, as the type that the setting has."""
    default = getattr(Recipe(), name)
    if isinstance(default, str):
        return text
    value = parse_number(name, text)
    return int(value) if isinstance(default, int) and not isinstance(default, bool) and value.is_integer() else value


def check_space(space: Space, recipe: Recipe) -> None:
    """Raise an error for a space that is empty, contradicts itself, or has a value that no recipe can have."""
    if not space:
        raise SettingsError("There is nothing to try: give at least one setting several values.")
    if recipe.ensemble > 1:
        raise SettingsError(
            "ensemble: a sweep compares single networks. Sweep without it, then train the best with it."
        )
    for name, values in space.items():
        if name not in SWEPT:
            raise SettingsError(f"{name}: is not a setting that can be swept. These can: {', '.join(SWEPT)}.")
        if isinstance(values, Range):
            if not values.low < values.high:
                raise SettingsError(f"{name}: {values.low:g}..{values.high:g} is not a range from low to high.")
            if values.log and values.low <= 0.0:
                raise SettingsError(f"{name}: a range in powers of ten begins above 0, not at {values.low:g}.")
            if not isinstance(getattr(recipe, name), int | float | None):
                raise SettingsError(f"{name}: has no range. List its values.")
        elif not values:
            raise SettingsError(f"{name}: has no values.")
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            replace(recipe, **{name: as_setting(name, value)})


def as_setting(name: str, value: Any) -> Any:
    """Return a value as a recipe has it."""
    return round(value) if name in WHOLE and isinstance(value, float) else value


def size_of_grid(space: Space) -> int | None:
    """Return the number of combinations; None if there is a range, which has no end of them."""
    if any(isinstance(values, Range) for values in space.values()):
        return None
    return math.prod(len(set(values)) for values in space.values())
