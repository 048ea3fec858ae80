"""Recipes: the settings of a training, in plain values that a JSON file can hold."""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, get_args

import msgspec
import numpy as np
from msgspec import Meta

from xpmlp.errors import SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.nn.loss_names import LossName, find_loss
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
CLASS_WEIGHTS = ("none", "balanced")
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


def one_of(names: Iterable[str]) -> Any:
    """Declare a setting that is one of some names."""
    pattern = rf"\A({'|'.join(map(re.escape, names))})\Z"
    return Annotated[str, Meta(pattern=pattern, description=f"one of {', '.join(names)}")]


ACTIVATION_NAMES = rf"({'|'.join(map(re.escape, ACTIVATIONS))})"
LARGEST = sys.float_info.max
Count = Annotated[int, Meta(ge=1, description="a whole number of at least 1")]
Fraction = Annotated[float, Meta(ge=0, lt=1, description="a number from 0 to below 1")]
DECLARED: dict[str, Any] = {
    "hidden_layer_sizes": Annotated[tuple[Count, ...], Meta(description="a tuple of whole numbers of at least 1")],
    "activation": Annotated[
        str,
        Meta(
            pattern=rf"\A{ACTIVATION_NAMES}(,{ACTIVATION_NAMES})*\Z",
            description=f"one of {', '.join(ACTIVATIONS)}, or one for each hidden layer, as in tanh,relu",
        ),
    ],
    "initializer": one_of(INITIALIZERS),
    "optimizer": one_of(OPTIMIZERS),
    "learning_rate": Annotated[float, Meta(gt=0, le=LARGEST, description="a number above 0")],
    "schedule": one_of(SCHEDULES),
    "batch_size": Count,
    "epochs": Count,
    "penalty": Annotated[float, Meta(ge=0, le=LARGEST, description="a number of at least 0")],
    "dropout": Fraction,
    "label_smoothing": Fraction,
    "loss": Annotated[str, Meta(description="a loss's name")],
    "max_grad_norm": Annotated[
        Annotated[float, Meta(gt=0, le=LARGEST)] | None, Meta(description="a number above 0, or None")
    ],
    "class_weight": one_of(CLASS_WEIGHTS),
    "ensemble": Count,
    "dtype": one_of(DTYPES),
    "seed": Annotated[int, Meta(ge=0, description="a whole number of at least 0")],
}
"""What each setting may be, for msgspec to check; the description goes into the error message."""


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

    Attributes
    ----------
    hidden_layer_sizes
        Units of each hidden layer; none for a linear model.
    activation, initializer, optimizer, schedule
        Names in `ACTIVATIONS`, `INITIALIZERS`, `OPTIMIZERS` and `SCHEDULES`. Several activations, separated by commas,
        are those of each hidden layer.
    learning_rate
        The schedule's highest learning rate.
    batch_size
        Rows per step.
    epochs
        Passes over the training rows.
    penalty
        L2 penalty on the weights; scikit-learn's ``alpha``. With the optimizer ``"adamw"``, its weight decay.
    dropout
        Probability of leaving out a hidden unit in training.
    label_smoothing
        Share of each label that is spread over all classes in training.
    loss
        A name as `LossName` writes it, such as ``"huber:1.5"`` or ``"quantile:0.1,0.5,0.9"``; ``"auto"`` for the
        cross-entropy of classes, and the squared error of numbers. Huber's delta is in standard deviations of the
        target.
    max_grad_norm
        Longer gradients are shortened to this length; None for no limit.
    class_weight
        ``"balanced"`` gives every class the same weight in the loss, however few rows it has; ``"none"`` every row.
    ensemble
        Number of networks that are trained at once, from different initial weights, and whose predictions are averaged.
    dtype
        ``"float32"`` or ``"float64"``.
    seed
        Seed of the initial weights and of every shuffle.

    Raises
    ------
    SettingsError
        For an invalid value, naming it.
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
    dropout: float | int = 0.0
    label_smoothing: float | int = 0.0
    max_grad_norm: float | int | None = None
    loss: str = "auto"
    class_weight: str = "none"
    ensemble: int = 1
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values, and convert them to the declared types."""
        for name, declared in DECLARED.items():
            value = getattr(self, name)
            try:
                plain = value.item() if isinstance(value, np.generic) else value
                object.__setattr__(self, name, msgspec.convert(plain, declared))
            except msgspec.ValidationError as error:
                raise SettingsError(f"{name}: {value!r} is not {get_args(declared)[-1].description}.") from error

        if self.loss != "auto":
            try:
                find_loss(self.loss)
            except ValueError as error:
                raise SettingsError(f"loss: {error}.") from error
        count, layers = self.activation.count(",") + 1, len(self.hidden_layer_sizes)
        if count not in (1, layers):
            raise SettingsError(f"activation: {self.activation!r} are {count}, but there are {layers} hidden layers.")

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer."""
        decays = {"weight_decay": self.penalty} if self.optimizer == "adamw" else {}
        optimizer = OPTIMIZERS[self.optimizer](**decays)
        return optimizer if self.max_grad_norm is None else clip_gradients(optimizer, self.max_grad_norm)

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles to predict; none for other losses."""
        return () if self.loss == "auto" else LossName.parse(self.loss).levels

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
        hidden_layer_sizes=(100,),
        optimizer="adam",
        learning_rate=0.003,
        batch_size=32,
        epochs=200,
        penalty=0.3,
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
