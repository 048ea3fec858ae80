import json
import re
import sys
from dataclasses import asdict, fields, replace
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

from xpmlp.datasets import Dataset, Split, load_dataset
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layer, Layers
from xpmlp.training import OPTIMIZERS, RECIPES, Recipe, default_recipe

NAMES = [field.name for field in fields(Recipe)]


def test_a_recipe_comes_back_from_json_as_it_was() -> None:
    numbers: dict[str, Any] = {"learning_rate": 0.1 + 0.2, "batch_size": 7, "epochs": 2**70, "penalty": 5e-324}
    numbers |= {"dropout": 0.25, "label_smoothing": 0.125, "max_grad_norm": 3.5, "ensemble": 5, "seed": 2**64}
    names: dict[str, Any] = {
        "loss": "huber:2.0",
        "schedule": "constant",
        "class_weight": "balanced",
        "dtype": "float64",
    }
    recipe = Recipe((3, 2), "tanh", "normal", "adam", **numbers, **names)
    written = json.loads(json.dumps(recipe.to_json()))
    assert list(written) == NAMES
    assert Recipe.from_json(written) == recipe
    assert all(getattr(recipe, name) != getattr(Recipe(), name) for name in NAMES)


def test_settings_that_json_lacks_are_defaults_and_unknown_ones_are_left_out() -> None:
    recipe = Recipe(hidden_layer_sizes=(3,), epochs=3, penalty=0.5)
    for name in NAMES:
        values = recipe.to_json()
        del values[name]
        assert Recipe.from_json(values) == replace(recipe, **{name: getattr(Recipe(), name)})
    assert Recipe.from_json({}) == Recipe()
    assert Recipe.from_json(recipe.to_json() | {"colour": "red"}) == recipe


COUNT = "a whole number of at least 1"
OTHER_TYPES: list[Any] = [None, True, [1], {}]
NO_COUNTS = [0, 1.5, 2.0, "64", *OTHER_TYPES]
NO_NUMBERS = [float("nan"), -1e-9, "0.1", *OTHER_TYPES]
REFUSED: dict[str, tuple[str, list[Any]]] = {
    "hidden_layer_sizes": (
        "a tuple of whole numbers of at least 1",
        [(5, 0), [2.5], [True], ["5"], [None], [[5]], 5, "55", None, {"5": 5}],
    ),
    "batch_size": (COUNT, NO_COUNTS),
    "epochs": (COUNT, NO_COUNTS),
    "seed": ("a whole number of at least 0", [-1, *NO_COUNTS[1:]]),
    "learning_rate": ("a number above 0", [0.0, float("inf"), 10**309, *NO_NUMBERS]),
    "penalty": ("a number of at least 0", NO_NUMBERS),
    **{
        name: (f"one of .*{getattr(Recipe(), name)}", ["relux", "RELU\n", None, 3, ["relu"], {"relu": 1}])
        for name in ("activation", "initializer", "optimizer", "schedule", "class_weight", "dtype")
    },
    "loss": ("a loss's name", [None, 3, ["relu"], {"relu": 1}]),
}


@pytest.mark.skipif("beartype" in sys.modules, reason="where annotations are checked, they refuse these first")
@pytest.mark.parametrize(("name", "value"), [(name, value) for name in REFUSED for value in REFUSED[name][1]])
def test_a_value_that_is_not_valid_is_refused_by_name_with_what_is(name: str, value: Any) -> None:
    given = tuple(value) if isinstance(value, list) and name == "hidden_layer_sizes" else value
    with pytest.raises(SettingsError, match=f"^{name}: {re.escape(repr(given))} is not {REFUSED[name][0]}"):
        Recipe.from_json({name: value})


def test_values_at_the_edge_of_what_is_valid_are_taken() -> None:
    edges: dict[str, Any] = {"hidden_layer_sizes": (), "batch_size": 1, "epochs": 1, "seed": 0, "penalty": 0.0}
    for changes in (edges | {"learning_rate": 5e-324}, {"learning_rate": 1, "penalty": 1}):
        assert asdict(Recipe(**changes)) == asdict(Recipe()) | changes
    rate = Recipe(learning_rate=np.float64(0.25)).learning_rate
    assert (rate, type(rate)) == (0.25, float)


def test_the_notebook_recipe_is_what_the_notebook_did() -> None:
    assert RECIPES["default"] == Recipe()
    assert RECIPES["notebook"] == Recipe(
        (128,), "tanh", "normal", "sgd", learning_rate=0.1, schedule="constant", batch_size=128, epochs=50, penalty=0.0
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Two steps at rate 0.5 down the gradient 1, from 0; v is the velocity, −0.5 and then −0.95.
        ("sgd", [-0.5, -1.0]),
        ("momentum", [-0.5, -1.45]),
        ("nesterov", [-0.95, -2.305]),
        ("adam", [-0.5, -1.0]),
        ("adamw", [-0.5, -0.9975]),  # a weight decay of 0.01 of −0.5 at rate 0.5
    ],
)
def test_optimizers_are_what_their_names_say(name: str, expected: list[float]) -> None:
    optimizer = OPTIMIZERS[name]()
    layers: Layers = (Layer(np.zeros((1, 1)), np.zeros((1, 1))),)
    gradients = (Layer(np.ones((1, 1)), np.ones((1, 1))),)
    state = optimizer.init(xp, layers)
    for value in expected:
        layers, state = optimizer.update(xp, gradients, state, layers, 0.5)
        assert layers[0].weight[0, 0] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(("rows", "epochs"), [(40, 300), (1280, 100), (20_000, 10)])
def test_images_that_are_not_mostly_black_get_a_rate_that_does_not_diverge(rows: int, epochs: int) -> None:
    light = np.broadcast_to(np.float32(0.6), (rows, 1200))
    labels = np.arange(rows) % 2
    photos = Dataset("photos", Split(light, labels), Split(light, labels), (0, 1), (20, 20, 3), 255.0, "")
    assert default_recipe(photos) == replace(RECIPES["photo"], epochs=epochs)
    dark = replace(photos, train=Split(light / 6, labels))
    assert default_recipe(dark) == default_recipe(load_dataset("digits")) == RECIPES["default"]


@pytest.mark.parametrize("labels", [np.arange(4096) // 2048, np.arange(4096) % 2], ids=["sorted", "in_turn"])
def test_images_are_judged_by_all_classes_in_whatever_order_they_are_stored(labels: np.ndarray) -> None:
    # Dark images alone, the first class, get the default recipe; all of them have a mean of length 300, squared.
    x = np.broadcast_to(labels[:, None].astype(np.float32), (4096, 1200))
    images = Dataset("images", Split(x, labels), Split(x, labels), (0, 1), (20, 20, 3), 255.0, "")
    assert default_recipe(images).learning_rate == RECIPES["photo"].learning_rate
    few_light = replace(images, train=Split(x / 2, labels))
    assert default_recipe(few_light) == RECIPES["default"]
