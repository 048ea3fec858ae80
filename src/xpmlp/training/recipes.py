"""Complete sets of training settings, in plain values that can be written to a file and read again."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from xpmlp.errors import SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.nn.optimizers import Optimizer, adam, sgd

from .schedules import SCHEDULES

OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": sgd,
    "momentum": lambda: sgd(momentum=0.9),
    "nesterov": lambda: sgd(momentum=0.9, nesterov=True),
    "adam": adam,
}

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    hidden_layer_sizes
        Units of each hidden layer; none for a linear classifier.
    activation
        A name out of `ACTIVATIONS`.
    initializer
        A name out of `INITIALIZERS`.
    optimizer
        A name out of `OPTIMIZERS`.
    schedule
        A name out of `SCHEDULES`.
    learning_rate
        The highest that the schedule reaches.
    batch_size
        Rows in a step.
    epochs
        Times that every row is seen.
    penalty
        L2 penalty on the weights; scikit-learn's ``alpha``.
    dtype
        What to compute in, ``"float32"`` or ``"float64"``.
    seed
        Of the one generator that draws the initial weights and every shuffle.

    Raises
    ------
    SettingsError
        For a value that training cannot use, naming it.
    """

    hidden_layer_sizes: tuple[int, ...] = (256,)
    activation: str = "relu"
    initializer: str = "he_normal"
    optimizer: str = "nesterov"
    learning_rate: float | int = 0.1
    schedule: str = "warmup_cosine"
    batch_size: int = 64
    epochs: int = 10
    penalty: float | int = 0.0
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what training cannot use."""
        for name, choices in (
            ("activation", ACTIVATIONS),
            ("initializer", INITIALIZERS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("dtype", DTYPES),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise SettingsError(f"{name}: {value!r} is not one of {', '.join(choices)}.")
        for name, count in (("batch_size", self.batch_size), ("epochs", self.epochs), ("seed", self.seed)):
            if not is_whole_number(count):
                raise SettingsError(f"{name}: {count!r} is not a whole number.")
            if name != "seed" and count < 1:
                raise SettingsError(f"{name}: {count} is too few; at least 1 is needed.")
        sizes: Any = self.hidden_layer_sizes  # out of a file, it may be of any type
        if not isinstance(sizes, tuple) or not all(is_whole_number(size) and size > 0 for size in sizes):
            raise SettingsError(f"hidden_layer_sizes: {sizes!r} is not a tuple of whole numbers of at least 1.")
        if not is_number(self.learning_rate) or not 0.0 < self.learning_rate <= sys.float_info.max:
            raise SettingsError(f"learning_rate: {self.learning_rate!r} is not a number above 0.")
        if not is_number(self.penalty) or not 0.0 <= self.penalty <= sys.float_info.max:
            raise SettingsError(f"penalty: {self.penalty!r} is not a number of at least 0.")
        if self.seed < 0:
            raise SettingsError(f"seed: {self.seed} is negative; any number from 0 will do.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return asdict(self) | {"hidden_layer_sizes": list(self.hidden_layer_sizes)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """Return the recipe that `to_json` wrote; unknown names are left out, missing ones are as by default."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        # JSON has no tuples.
        if isinstance(sizes := known.get("hidden_layer_sizes"), list):
            known["hidden_layer_sizes"] = tuple(sizes)
        return cls(**known)


def is_whole_number(value: Any) -> bool:
    """Tell whether a value that may have come out of a file is a whole number, which True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether a value that may have come out of a file is a number."""
    return is_whole_number(value) or isinstance(value, float)


RECIPES: dict[str, Recipe] = {
    "default": Recipe(),
    "notebook": Recipe(
        hidden_layer_sizes=(128,),
        activation="tanh",
        initializer="normal",
        optimizer="sgd",
        learning_rate=0.1,
        schedule="constant",
        batch_size=128,
        epochs=50,
    ),
    "table": Recipe(
        hidden_layer_sizes=(100,),
        optimizer="adam",
        learning_rate=0.003,
        batch_size=32,
        epochs=200,
        penalty=0.3,
    ),
}
"""``notebook`` is the run that this project grew out of, with the right gradient; ``default`` is how to do it today.
``table`` is for tables, whose columns differ in kind and whose rows are often few."""

TABLE_STEPS = 2000
FEWEST_TABLE_EPOCHS = 20
FEW_ROWS = 500


def table_recipe(rows: int) -> Recipe:
    """Return ``RECIPES["table"]`` as it suits a table of so many rows.

    Few rows are seen more often, about 2,000 steps in all; beyond some hundreds the penalty falls as the rows grow in
    number, for what guards few rows against overfitting holds many back.
    """
    recipe = RECIPES["table"]
    epochs = round(TABLE_STEPS * recipe.batch_size / max(rows, 1))
    penalty = float(f"{recipe.penalty * min(1.0, FEW_ROWS / max(rows, 1)):.2g}")
    return replace(recipe, epochs=min(max(epochs, FEWEST_TABLE_EPOCHS), recipe.epochs), penalty=penalty)
