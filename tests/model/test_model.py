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


def table(*names: str) -> TableSchema:
    return TableSchema(tuple(Column(name, "number") for name in names))


def test_parts_that_fit_together_are_taken() -> None:
    assert make_model(layers=zeros(6, 4, 5, 7, 3, dtype=np.float64)).layer_sizes == (6, 4, 5, 7, 3)
    assert make_model(layers=zeros(6, 3)).layer_sizes == (6, 3)
    assert make_model(image_preprocessor=form(2, 3), table_schema=table(*"abcdef")).image_preprocessor == form(2, 3)
    assert make_model(input_shape=(1, 2, 3), classes=(3, 1, 2)).classes == (3, 1, 2)
    assert make_model().training == {}
    assert make_model().training is not make_model().training


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
def test_loss_classes_and_outputs_determine_the_task(changes: dict[str, Any], task: str) -> None:
    assert make_model(**changes).task == task


def with_array(layer: int, part: str, array: Any) -> dict[str, Any]:
    layers = list(zeros(6, 5, 3))
    layers[layer] = layers[layer]._replace(**{part: array})
    return {"layers": tuple(layers)}


def f4(*shape: int, value: float = 0.0) -> np.ndarray:
    return np.full(shape, value, np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "swish"}, "the activation 'swish' is not one of .*relu"),
        ({"loss": "hinge"}, "the loss 'hinge' is not one of .*softmax_cross_entropy"),
        ({"layers": ()}, "there is no layer"),
        (with_array(0, "weight", f4(6, 4)), r"layer 0's bias has shape \(1, 5\), expected \(1, 4\)"),
        (with_array(1, "weight", f4(4, 3)), r"layer 1's weight has shape \(4, 3\), .* \(5, outputs"),
        (with_array(0, "weight", f4(6)), r"layer 0's weight has shape \(6,\), .* \(inputs, outputs\)"),
        (with_array(0, "weight", f4(2, 6, 5)), r"layer 0's weight has shape \(2, 6, 5\)"),
        (with_array(1, "weight", f4(5, 0)), r"layer 1's weight has shape \(5, 0\)"),
        (with_array(1, "bias", f4(3)), r"layer 1's bias has shape \(3,\)"),
        ({"layers": zeros(6, 5, 3, dtype=np.int64)}, "the weights are int64, expected float32 or float64"),
        (with_array(1, "weight", np.zeros((5, 3))), "layer 1 is not float32"),
        (with_array(0, "bias", np.zeros((1, 5))), "layer 0 is not float32"),
        (with_array(1, "weight", f4(5, 3, value=math.nan)), "layer 1 contains NaN or infinity"),
        (with_array(0, "bias", f4(1, 5, value=-math.inf)), "layer 0 contains NaN or infinity"),
        ({"input_shape": ()}, r"the input shape \(\) holds no values"),
        ({"input_shape": (-2, -3)}, r"the input shape \(-2, -3\) holds no values"),
        ({"input_shape": (7,)}, r"the first layer takes 6 values, but the input shape is \(7,\)"),
        ({"input_scale": 0.0}, "the input scale 0.0 is not a number above 0"),
        ({"input_scale": math.inf}, "the input scale inf"),
        ({"image_preprocessor": form(3, 2)}, r"images of 3×2 do not have the input shape \(2, 3\)"),
        ({"table_schema": table("a", "b")}, "the first layer takes 6 values, but a row of the table becomes 2"),
        ({"classes": ("a", "b")}, "the last layer has 3 outputs, but there are 2 classes"),
        ({"classes": ("a", "b", "a")}, "are not two or more different labels"),
        ({"layers": zeros(6, 1), "classes": ("a",)}, "are not two or more different labels"),
        ({"layers": zeros(6, 1), "classes": (0, 1)}, "the last layer has 1 outputs, but there are 2 classes"),
        (
            {"loss": "logistic_cross_entropy", "layers": zeros(6, 1), "classes": (0, 1, 2)},
            "the last layer has 1 outputs, but there are 3 classes",
        ),
        ({"loss": "squared_error", "classes": ()}, r"the 3 outputs need as many different names, found \(\)"),
        ({"loss": "squared_error", "classes": (), "output_names": ("a", "b", "a")}, "the 3 outputs need as many"),
        ({"loss": "squared_error", "output_names": ("a", "b", "c")}, "which is only valid for regression"),
        ({"classes": (), "output_names": ("a", "b", "c")}, "which is only valid for regression"),
    ],
)
def test_fields_that_contradict_each_other_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        make_model(**changes)
    assert isinstance(caught.value, XpmlpError)
