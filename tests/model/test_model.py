import itertools
import math
from typing import Any

import numpy as np
import pytest

from xpmlp.errors import XpmlpError
from xpmlp.model import Model, ModelError
from xpmlp.model.image_preprocessor import ImagePreprocessor
from xpmlp.model.table_schema import Column, TableSchema
from xpmlp.nn.layers import Layer


def zeros(*sizes: int, dtype: Any = np.float32) -> tuple[Layer, ...]:
    return tuple(
        Layer(np.zeros((inputs, outputs), dtype), np.zeros((1, outputs), dtype))
        for inputs, outputs in itertools.pairwise(sizes)
    )


def make_model(**changes: Any) -> Model:
    arguments: dict[str, Any] = {
        "layers": zeros(6, 5, 3),
        "activation": "relu",
        "loss": "softmax_cross_entropy",
        "classes": ("a", "b", "c"),
        "input_shape": (2, 3),
        "input_scale": 255.0,
    }
    return Model(**(arguments | changes))


def form(height: int, width: int) -> ImagePreprocessor:
    return ImagePreprocessor(height, width, "dark", 0.7, "mass")


@pytest.mark.parametrize("sizes", [(6, 3), (6, 5, 3), (6, 4, 5, 7, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer_sizes_are_features_hidden_units_and_outputs(sizes: tuple[int, ...], dtype: Any) -> None:
    assert make_model(layers=zeros(*sizes, dtype=dtype)).layer_sizes == sizes


def test_parts_that_fit_together_are_taken() -> None:
    model = make_model(image_preprocessor=form(2, 3), training={"data": "x"})
    assert model.image_preprocessor == form(2, 3)
    assert make_model(input_shape=(6,), classes=(3, 1, 2)).classes == (3, 1, 2)
    assert make_model(input_shape=(1, 2, 3)).input_shape == (1, 2, 3)
    assert make_model().training == {}
    assert make_model().training is not make_model().training


def with_array(layer: int, part: str, array: Any) -> dict[str, Any]:
    layers = list(zeros(6, 5, 3))
    layers[layer] = layers[layer]._replace(**{part: array})
    return {"layers": tuple(layers)}


NAN_WEIGHT = np.zeros((5, 3), np.float32)
NAN_WEIGHT[4, 2] = math.nan
INFINITE_BIAS = np.zeros((1, 5), np.float32)
INFINITE_BIAS[0, 1] = -math.inf


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "swish"}, "the activation 'swish' is not one of .*relu"),
        ({"loss": "hinge"}, "the loss 'hinge' is not one of .*softmax_cross_entropy"),
        ({"layers": ()}, "there is no layer"),
        (
            with_array(0, "weight", np.zeros((6, 4), np.float32)),
            r"layer 0's bias has shape \(1, 5\), expected \(1, 4\)",
        ),
        (
            with_array(1, "weight", np.zeros((4, 3), np.float32)),
            r"layer 1's weight has shape \(4, 3\), .* \(5, outputs",
        ),
        (
            with_array(1, "weight", np.zeros((5, 4), np.float32)),
            r"layer 1's bias has shape \(1, 3\), expected \(1, 4\)",
        ),
        (
            with_array(0, "weight", np.zeros(6, np.float32)),
            r"layer 0's weight has shape \(6,\), .* \(inputs, outputs\)",
        ),
        (with_array(0, "weight", np.zeros((2, 6, 5), np.float32)), r"layer 0's weight has shape \(2, 6, 5\)"),
        (with_array(1, "weight", np.zeros((5, 0), np.float32)), r"layer 1's weight has shape \(5, 0\)"),
        (with_array(1, "bias", np.zeros((1, 2), np.float32)), r"layer 1's bias has shape \(1, 2\), expected \(1, 3\)"),
        (with_array(1, "bias", np.zeros((3,), np.float32)), r"layer 1's bias has shape \(3,\)"),
        ({"layers": zeros(6, 5, 3, dtype=np.float16)}, "the weights are float16, neither float32 nor float64"),
        ({"layers": zeros(6, 5, 3, dtype=np.int64)}, "the weights are int64"),
        (with_array(1, "weight", np.zeros((5, 3))), "layer 1 is not float32"),
        (with_array(0, "bias", np.zeros((1, 5))), "layer 0 is not float32"),
        (with_array(1, "weight", NAN_WEIGHT), "layer 1 holds a NaN or an infinity"),
        (with_array(0, "bias", INFINITE_BIAS), "layer 0 holds a NaN or an infinity"),
        ({"input_shape": ()}, r"the input shape \(\) holds no values"),
        ({"input_shape": (2, 0)}, r"the input shape \(2, 0\) holds no values"),
        ({"input_shape": (-2, -3)}, r"the input shape \(-2, -3\) holds no values"),
        ({"input_shape": (7,)}, r"the first layer takes 6 values, but the input shape is \(7,\)"),
        ({"classes": ("a", "b")}, "the last layer has 3 outputs, but there are 2 classes"),
        ({"classes": ("a", "b", "c", "d")}, "3 outputs, but there are 4 classes"),
        ({"classes": ("a", "b", "a")}, "are not two or more different labels"),
        ({"layers": zeros(6, 1), "classes": ("a",)}, "are not two or more different labels"),
        ({"input_scale": 0.0}, "the input scale 0.0 is not a number above 0"),
        ({"input_scale": -1.0}, "the input scale -1.0"),
        ({"input_scale": math.nan}, "the input scale nan"),
        ({"input_scale": math.inf}, "the input scale inf"),
        ({"image_preprocessor": form(3, 2)}, r"images of 3×2 do not have the input shape \(2, 3\)"),
        ({"image_preprocessor": form(2, 3), "input_shape": (6,)}, r"images of 2×3 do not have the input shape \(6,\)"),
    ],
)
def test_parts_that_contradict_each_other_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        make_model(**changes)
    assert isinstance(caught.value, XpmlpError)


def table(*names: str) -> TableSchema:
    return TableSchema(tuple(Column(name, "number") for name in names))


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({}, "multiclass"),
        ({"loss": "squared_error"}, "multiclass"),
        ({"loss": "logistic_cross_entropy"}, "multilabel"),
        ({"loss": "logistic_cross_entropy", "layers": zeros(6, 2), "classes": (0, 1)}, "multilabel"),
        ({"loss": "logistic_cross_entropy", "layers": zeros(6, 5, 1), "classes": ("no", "yes")}, "binary"),
        ({"loss": "squared_error", "layers": zeros(6, 1), "classes": (), "output_names": ("price",)}, "regression"),
        ({"loss": "squared_error", "classes": (), "output_names": ("a", "b", "c")}, "regression"),
        ({"loss": "poisson", "layers": zeros(6, 1), "classes": (), "output_names": ("count",)}, "regression"),
    ],
)
def test_loss_classes_and_outputs_tell_the_task(changes: dict[str, Any], task: str) -> None:
    assert make_model(**changes).task == task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ()}, r"the classes \(\) are not two or more different labels"),
        ({"layers": zeros(6, 1), "classes": (0, 1)}, "the last layer has 1 outputs, but there are 2 classes"),
        (
            {"loss": "logistic_cross_entropy", "layers": zeros(6, 1), "classes": (0, 1, 2)},
            "the last layer has 1 outputs, but there are 3 classes",
        ),
        ({"loss": "squared_error", "classes": ()}, r"the 3 outputs do not each have a name of their own in \(\)"),
        ({"loss": "squared_error", "classes": (), "output_names": ("a", "b")}, "the 3 outputs do not each have a name"),
        ({"loss": "squared_error", "classes": (), "output_names": ("a", "b", "a")}, "do not each have a name of th"),
        ({"loss": "squared_error", "output_names": ("a", "b", "c")}, "which only those of a regression have"),
        ({"classes": (), "output_names": ("a", "b", "c")}, "which only those of a regression have"),
        ({"table_schema": table("a", "b")}, "the first layer takes 6 values, but a row of the table becomes 2"),
    ],
)
def test_outputs_and_tables_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_model(**changes)


def test_a_table_and_its_images_fit_together() -> None:
    model = make_model(table_schema=table(*"abcdef"), image_preprocessor=form(2, 3))
    assert model.table_schema is not None
    assert model.table_schema.inputs == 6
