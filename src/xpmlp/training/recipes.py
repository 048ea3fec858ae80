"""Recipes: the settings of a training, in plain values that a JSON file can hold."""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, NamedTuple, cast

import msgspec
import numpy as np
from msgspec import Meta

from xpmlp.errors import SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.nn.loss_names import find_loss
from xpmlp.nn.losses import REGRESSION_LOSSES
from xpmlp.nn.optimizers import Optimizer, adam, adamw, clip_gradients, sgd

from .schedules import SCHEDULES

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd,
    "momentum": lambda: sgd(momentum=0.9),
    "nesterov": lambda: sgd(momentum=0.9, nesterov=True),
    "adam": adam,
    "adamw": adamw,
}

DTYPES = ("float32", "float64")
# What other programs call a setting, for suggestions.
OTHER_NAMES = {
    "lr": "learning_rate",
    "learning_rate_init": "learning_rate",
    "alpha": "penalty",
    "weight_decay": "penalty",
    "solver": "optimizer",
    "max_iter": "epochs",
    "iterations": "epochs",
    "random_state": "seed",
    "layers": "hidden_layer_sizes",
    "label": "target",
    "y": "target",
    "gpu": "backend",
}
MOST_UNITS = 100_000_000  # in a layer: larger weights are beyond NumPy's indices and any memory


class Setting(NamedTuple):
    """A setting's type, which msgspec checks; the values expected, for errors; and its help on the command line."""

    type: Any
    expected: str
    metavar: str
    help: str


def one_of(names: Iterable[str], text: str) -> Setting:
    """Declare a setting with a choice of names."""
    pattern = rf"\A({'|'.join(map(re.escape, names))})\Z"
    return Setting(Annotated[str, Meta(pattern=pattern)], f"one of {', '.join(names)}", "NAME", text)


def count(metavar: str, text: str) -> Setting:
    """Declare a setting that counts something."""
    return Setting(Count, "a whole number of at least 1", metavar, text)


def fraction(text: str) -> Setting:
    """Declare a setting that is a share of something."""
    return Setting(Annotated[float, Meta(ge=0, lt=1)], "a number from 0 to below 1", "FRACTION", text)


Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
ACTIVATION_NAMES = rf"({'|'.join(map(re.escape, ACTIVATIONS))})"


def parse_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes of the hidden layers, written as ``"256,128"`` or ``"none"``."""
    if text.strip().lower() in ("none", "0"):
        return ()
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (0,)
    if not all(1 <= size <= MOST_UNITS for size in sizes):
        raise SettingsError(
            f"--hidden: {text!r} is not a list of sizes from 1 to {MOST_UNITS:,}. Write 128, or 256,128 for two "
            "layers, or none."
        )
    return sizes


@dataclass(frozen=True)
class Recipe:
    """A recipe: all settings of a training run, in plain values.

    They are declared here once: for Python, for the command line and its help, and for JSON files. ``loss="auto"`` is
    the cross-entropy of classes, and the squared error of numbers; other losses are written as `LossName` does.
    ``penalty`` is scikit-learn's ``alpha``.

    Raises
    ------
    SettingsError
        For an invalid value, naming it.
    """

    hidden_layer_sizes: Annotated[
        tuple[int, ...],
        Setting(
            tuple[Count, ...],
            "a tuple of whole numbers of at least 1",
            "SIZES",
            "Units in each hidden layer: 128, or 256,128, or none for a linear model.",
        ),
    ] = (256,)
    activation: Annotated[
        str,
        Setting(
            Annotated[str, Meta(pattern=rf"\A{ACTIVATION_NAMES}(,{ACTIVATION_NAMES})*\Z")],
            f"one of {', '.join(ACTIVATIONS)}, or one for each hidden layer, as in tanh,relu",
            "NAMES",
            f"Activation function, or one for each hidden layer: {', '.join(ACTIVATIONS)}.",
        ),
    ] = "relu"
    initializer: Annotated[str, one_of(INITIALIZERS, f"Initial weights: {', '.join(INITIALIZERS)}.")] = "he_normal"
    optimizer: Annotated[str, one_of(OPTIMIZERS, f"{', '.join(OPTIMIZERS)}.")] = "nesterov"
    learning_rate: Annotated[float | int, Setting(Positive, "a number above 0", "NUMBER", "Highest learning rate.")] = (
        0.1
    )
    schedule: Annotated[str, one_of(SCHEDULES, f"Learning rate over time: {', '.join(SCHEDULES)}.")] = "warmup_cosine"
    batch_size: Annotated[int, count("ROWS", "Rows per step.")] = 64
    epochs: Annotated[int, count("N", "Passes over the training rows.")] = 10
    penalty: Annotated[
        float | int,
        Setting(
            Annotated[float, Meta(ge=0, le=sys.float_info.max)],
            "a number of at least 0",
            "NUMBER",
            "L2 penalty, against overfitting; adamw's weight decay.",
        ),
    ] = 0.0
    dropout: Annotated[float | int, fraction("Fraction of the hidden units dropped at random in training.")] = 0.0
    label_smoothing: Annotated[float | int, fraction("Fraction of each label spread over all classes in training.")] = (
        0.0
    )
    max_grad_norm: Annotated[
        float | int | None,
        Setting(Positive | None, "a number above 0, or None", "NUMBER", "Clip gradients to this norm."),
    ] = None
    loss: Annotated[
        str,
        Setting(
            str,
            "a loss's name",
            "NAME",
            f"Loss for regression: {', '.join(REGRESSION_LOSSES)}; huber:1.5 sets its delta, in standard "
            "deviations of the target, quantile:0.1,0.5,0.9 the quantiles to predict.",
        ),
    ] = "auto"
    class_weight: Annotated[
        str,
        one_of(
            ("none", "balanced"),
            "balanced gives all classes the same weight, however few rows they have; none by default.",
        ),
    ] = "none"
    ensemble: Annotated[
        int, count("N", "Networks to train at once, from different initial weights; predictions are averaged.")
    ] = 1
    dtype: Annotated[str, one_of(DTYPES, f"{' or '.join(DTYPES)}.")] = "float32"
    seed: Annotated[
        int,
        Setting(
            Annotated[int, Meta(ge=0)],
            "a whole number of at least 0",
            "N",
            "Seed of initial weights and shuffles; the same seed gives the same network.",
        ),
    ] = 0

    def __post_init__(self) -> None:
        """Check the values, and convert them to the declared types."""
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            try:
                plain = value.item() if isinstance(value, np.generic) else value
                object.__setattr__(self, name, msgspec.convert(plain, setting.type))
            except msgspec.ValidationError as error:
                raise SettingsError(f"{name}: {value!r} is not {setting.expected}.") from error

        if self.loss != "auto":
            try:
                find_loss(self.loss)
            except ValueError as error:
                raise SettingsError(f"loss: {error}.") from error
        names, layers = self.activation.count(",") + 1, len(self.hidden_layer_sizes)
        if names not in (1, layers):
            raise SettingsError(f"activation: {self.activation!r} are {names}, but there are {layers} hidden layers.")

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer."""
        decays = {"weight_decay": self.penalty} if self.optimizer == "adamw" else {}
        optimizer = OPTIMIZERS[self.optimizer](**decays)
        return optimizer if self.max_grad_norm is None else clip_gradients(optimizer, self.max_grad_norm)

    @property
    def l2(self) -> float | None:
        """The penalty that is part of the objective; None if there is none."""
        return None if self.optimizer == "adamw" else self.penalty or None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return asdict(self) | {"hidden_layer_sizes": list(self.hidden_layer_sizes)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """Return the recipe that `to_json` wrote. Unknown settings are ignored, missing ones have their defaults."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        if isinstance(sizes := known.get("hidden_layer_sizes"), list):  # JSON has no tuples
            known["hidden_layer_sizes"] = tuple(sizes)
        return cls(**known)


SETTINGS: dict[str, Setting] = {field.name: cast(Any, field.type).__metadata__[0] for field in fields(Recipe)}
"""The declaration of each setting."""

ATTRIBUTES = "".join(f"    {name}\n        {setting.help}\n" for name, setting in SETTINGS.items())
Recipe.__doc__ = f"{Recipe.__doc__}".replace("    Raises", f"    Attributes\n    ----------\n{ATTRIBUTES}\n    Raises")

RECIPES: dict[str, Recipe] = {
    "default": Recipe(),
    "photo": Recipe(learning_rate=0.01),
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
        hidden_layer_sizes=(256, 256, 256),
        activation="silu",
        optimizer="adamw",
        learning_rate=0.01,
        batch_size=256,
        epochs=64,
        penalty=0.05,
        dropout=0.1,
        label_smoothing=0.1,
    ),
    "small_table": Recipe(
        hidden_layer_sizes=(100,), optimizer="adam", learning_rate=0.003, batch_size=32, epochs=200, penalty=0.3
    ),
}
"""``default`` suits images that are mostly black, such as digits, and ``photo`` others. ``notebook`` repeats the run
that this project grew out of, with the gradient corrected. ``table`` suits tables, whose columns differ in kind: it is
what a plain network can take of RealMLP's defaults (Holzmüller et al. 2024, "Better by Default"). ``small_table`` suits
those with few rows, which a large network would learn by heart."""

LONGEST_MEAN = 200.0  # of images, squared: beyond, the learning rate of ``default`` diverges
PHOTO_STEPS, MOST_PHOTO_EPOCHS = 2000, 300
FEW_ROWS = 1000  # fewer are a small table
TABLE_STEPS, SMALL_TABLE_STEPS = 1000, 2000
FEWEST_TABLE_EPOCHS = 20
NOISY_PENALTY = 1.0  # of a small table


def image_recipe(rows: int, squared_mean: float) -> Recipe:
    """Return ``RECIPES["default"]``, or ``"photo"`` with epochs adapted to the number of rows for lighter images.

    The loss curves most along the mean of the inputs, by its squared length: 35 for MNIST, and some 700 for photos
    of 32 × 32 pixels in color.
    """
    if squared_mean < LONGEST_MEAN:
        return RECIPES["default"]
    recipe = RECIPES["photo"]
    epochs = round(PHOTO_STEPS * recipe.batch_size / max(rows, 1))
    return replace(recipe, epochs=min(max(epochs, recipe.epochs), MOST_PHOTO_EPOCHS))


def table_recipe(rows: int, *, is_noisy: bool = False) -> Recipe:
    """Return ``RECIPES["table"]``, or ``"small_table"`` below 1,000 rows, adapted to the number of rows.

    Few rows are seen more often, many at least 20 times. The penalty of a small table falls beyond 500 rows, because
    what guards few rows against overfitting holds many back. Targets that are noisy, as their inputs say little of
    them, need smaller steps and more dropout, or a higher penalty.
    """
    is_small = rows < FEW_ROWS
    recipe, steps = (RECIPES["small_table"], SMALL_TABLE_STEPS) if is_small else (RECIPES["table"], TABLE_STEPS)
    epochs = round(steps * recipe.batch_size / max(rows, 1))
    recipe = replace(recipe, epochs=min(max(epochs, FEWEST_TABLE_EPOCHS), recipe.epochs))
    if is_small:
        penalty = (NOISY_PENALTY if is_noisy else recipe.penalty) * min(1.0, 500 / max(rows, 1))
        return replace(recipe, penalty=float(f"{penalty:.2g}"))
    return replace(recipe, learning_rate=0.0025, penalty=0.3, dropout=0.3) if is_noisy else recipe
