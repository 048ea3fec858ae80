"""The fields of a model fit together, and come back from its file bit for bit."""

import errno
import itertools
import math
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy

from xpmlp.errors import OutputError, XpmlpError
from xpmlp.model import (
    Column,
    ImagePreprocessor,
    Model,
    ModelError,
    TableSchema,
    load_model,
    model_to_bytes,
    save_model,
)
from xpmlp.model.picture_resizer import PictureResizer
from xpmlp.nn.layers import Layer


def make_model(outputs: int = 3, dtype: Any = np.float32, **changes: Any) -> Model:
    generator = np.random.default_rng(0)
    values: dict[str, Any] = {
        "layers": tuple(
            Layer(generator.normal(0, 1, (i, o)).astype(dtype), generator.normal(0, 1, (1, o)).astype(dtype))
            for i, o in ((6, 4), (4, outputs))
        ),
        "activation": "relu",
        "loss": "softmax_cross_entropy",
        "classes": ("a", "b", "c"),
        "input_shape": (2, 3),
        "input_scale": 255.0,
        "image_preprocessor": ImagePreprocessor(2, 3, "dark", 0.7, "mass"),
        "training": {"data": "mnist", "recipe": {"epochs": 3}},
    }
    return Model(**(values | changes))


SCHEMA = TableSchema(
    (
        Column("age", "number", fill=31.5, scale=12.25),
        Column("Käufer 🙂", "boolean", fill=1),
        Column("city", "category", ("Bern", "", "Ürich"), fill="Bern"),
        Column("raw", "number"),
    ),
    target="label",
    missing="median",
    scaling="standard",
)
IS_TABLE: dict[str, Any] = {"input_shape": (6,), "image_preprocessor": None, "table_schema": SCHEMA}


def assert_same(actual: Model, expected: Model) -> None:
    """Compare two models bit by bit."""
    for layer, expected_layer in zip(actual.layers, expected.layers, strict=True):
        for array, other in zip(layer, expected_layer, strict=True):
            assert (array.dtype, array.shape, array.tobytes()) == (other.dtype, other.shape, other.tobytes())
    for field in fields(Model):
        if field.name != "layers":
            assert getattr(actual, field.name) == getattr(expected, field.name), field.name
    assert [type(value) for value in actual.classes] == [type(value) for value in expected.classes]


@pytest.fixture
def path(scratch: Path) -> Path:
    """The path of a model file."""
    scratch.write_bytes(CONTENT)
    return scratch


CONTENT = model_to_bytes(make_model())


# Fields that fit together


def zeros(*sizes: int, dtype: Any = np.float32) -> tuple[Layer, ...]:
    return tuple(
        Layer(np.zeros((inputs, outputs), dtype), np.zeros((1, outputs), dtype))
        for inputs, outputs in itertools.pairwise(sizes)
    )


def images(height: int, width: int) -> ImagePreprocessor:
    return ImagePreprocessor(height, width, "dark", 0.7, "mass")


def table(*names: str) -> TableSchema:
    return TableSchema(tuple(Column(name, "number") for name in names))


def test_parts_that_fit_together_are_taken() -> None:
    assert make_model(layers=zeros(6, 4, 5, 7, 3, dtype=np.float64)).layer_sizes == (6, 4, 5, 7, 3)
    assert make_model(layers=zeros(6, 3)).layer_sizes == (6, 3)
    assert make_model(image_preprocessor=images(2, 3), table_schema=table(*"abcdef")).image_preprocessor == images(2, 3)
    assert make_model(input_shape=(1, 2, 3), image_preprocessor=None, classes=(3, 1, 2)).classes == (3, 1, 2)


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
        (with_array(0, "weight", f4(2, 6, 5)), r"layer 0's bias has shape \(1, 5\), expected \(2, 1, 5\)"),
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
        ({"image_preprocessor": images(3, 2)}, r"images of 3×2 do not have the input shape \(2, 3\)"),
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


# There and back

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
# Labels without lone surrogates, which hypothesis does not draw.
LABELS = st.lists(st.integers(-(2**70), 2**70) | st.text(max_size=5), min_size=2, max_size=4, unique=True)


@settings(max_examples=50)
@given(data=st.data())
def test_a_model_comes_back_bit_for_bit(scratch: Path, data: st.DataObject) -> None:
    draw, dtype = data.draw, data.draw(st.sampled_from(["f4", "f8"]))
    classes = tuple(draw(LABELS))
    input_shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    sizes = (math.prod(input_shape), *draw(st.lists(st.integers(1, 4), max_size=2)), len(classes))

    finite = {"allow_nan": False, "allow_infinity": False}

    def array(*shape: int) -> Any:
        return draw(numpy.arrays(dtype, shape, elements=finite))

    content_size = draw(st.floats(0.0, 1.0, exclude_min=True))
    preprocessor = ImagePreprocessor(*input_shape, "light", content_size, "box") if len(input_shape) == 2 else None
    model = make_model(
        layers=tuple(Layer(array(i, o), array(1, o)) for i, o in itertools.pairwise(sizes)),
        classes=classes,
        input_shape=input_shape,
        input_scale=draw(st.floats(0.0, exclude_min=True, allow_infinity=False)),
        image_preprocessor=preprocessor,
        training=draw(st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
    )
    save_model(scratch, model)
    assert_same(load_model(scratch), model)


def with_layout(layout: Callable[[Any], Any]) -> Model:
    return make_model(layers=tuple(Layer(layout(layer.weight), layout(layer.bias)) for layer in make_model().layers))


@pytest.mark.parametrize(
    ("model", "version"),
    [
        (make_model(classes=(1, "1", "一")), "1"),
        (make_model(classes=("", " ", "a\0")), "1"),
        (make_model(classes=("\ud800", "🙂", "e\u0301")), "1"),  # half of a surrogate pair, as file names may contain
        (make_model(classes=(10**50, -(10**50), 0)), "1"),
        (make_model(loss="logistic_cross_entropy"), "1"),
        (with_layout(np.asfortranarray), "1"),
        (with_layout(lambda array: np.repeat(array, 2, axis=-1)[..., ::2]), "1"),
        (with_layout(lambda array: array[::-1].copy()[::-1]), "1"),
        (make_model(outputs=1, loss="logistic_cross_entropy", classes=("no", "yes")), "2"),
        (make_model(outputs=2, loss="squared_error", classes=(), output_names=("price", "Größe")), "2"),
        (make_model(outputs=1, loss="poisson", classes=(), output_names=("count",)), "2"),
        (make_model(**IS_TABLE), "2"),
        (make_model(activation="mish"), "3"),
        (make_model(image_preprocessor=PictureResizer(2, 3, 1)), "5"),
        (make_model(image_preprocessor=PictureResizer(1, 2, 3), input_shape=(1, 2, 3), activation="mish"), "5"),
        (make_model(outputs=2, loss="quantile:0.1,0.9", classes=(), output_names=("low", "high")), "3"),
        (make_model(outputs=1, loss="huber:1.5 of logistic", classes=(), output_names=("share",)), "3"),
    ],
)
def test_every_kind_of_model_comes_back_from_the_lowest_version(scratch: Path, model: Model, version: str) -> None:
    save_model(str(scratch), model)
    with safetensors.safe_open(scratch, framework="numpy") as file:
        assert file.metadata()["format_version"] == version
    assert_same(load_model(str(scratch)), model)


def test_one_model_is_one_sequence_of_bytes() -> None:
    assert {model_to_bytes(make_model()) for _ in range(20)} == {CONTENT}  # safetensors alone varies the order


def test_a_loaded_model_outlives_its_file(path: Path) -> None:
    model = load_model(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    path.unlink()
    assert_same(model, make_model())


def test_the_file_is_a_plain_safetensors_file_that_says_these_things(path: Path) -> None:
    model, tensors = make_model(), safetensors.numpy.load_file(path)
    assert sorted(tensors) == ["layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight"]
    for index, layer in enumerate(model.layers):
        np.testing.assert_array_equal(tensors[f"layers.{index}.weight"], layer.weight, strict=True)
        np.testing.assert_array_equal(tensors[f"layers.{index}.bias"], layer.bias[0], strict=True)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {
            "format": "xpmlp",
            "format_version": "1",
            "model": '{"activation": "relu", "loss": "softmax_cross_entropy", "classes": ["a", "b", "c"], '
            '"input_shape": [2, 3], "input_scale": 255.0, "image_form": {"height": 2, "width": 3, "background": "dark",'
            ' "content_size": 0.7, "centering": "mass"}, "training": {"data": "mnist", "recipe": {"epochs": 3}}}',
        }
    save_model(path, make_model(**IS_TABLE))
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata()["model"].partition(', "output_names"')[2] == (
            ': [], "table_form": {"columns": [{"name": "age", "kind": "number", "fill": 31.5, '
            '"scale": 12.25}, {"name": "K\\u00e4ufer \\ud83d\\ude42", "kind": "boolean", "fill": 1}, {"name": "city", '
            '"kind": "category", "categories": ["Bern", "", "\\u00dcrich"], "fill": "Bern"}, {"name": "raw", "kind": '
            '"number"}], "target": "label", "missing": "median", "scaling": "standard"}}'
        )


def test_what_cannot_be_saved_leaves_the_old_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(TypeError):
        save_model(path, make_model(training={"loss": object()}))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match=r"model.safetensors: cannot be written \(No space left on device\)"):
            save_model(path, make_model(classes=(1, 2, 3)))
    assert path.read_bytes() == CONTENT


# Ensembles


def ensemble(members: int = 5, **changes: Any) -> Model:
    """An ensemble of which the first network is `make_model`'s."""
    generator = np.random.default_rng(1)
    layers = tuple(
        Layer(*(np.concatenate([array[None], generator.normal(0, 1, (members - 1, *array.shape))]) for array in layer))
        for layer in make_model(dtype=np.float64).layers
    )
    return make_model(layers=layers, **changes)


def test_an_ensemble_comes_back_from_its_file(scratch: Path) -> None:
    for expected in (
        ensemble(image_preprocessor=PictureResizer(2, 3, 1)),
        ensemble(),
        ensemble(1),
        ensemble(2, **IS_TABLE),
    ):
        save_model(scratch, expected)
        model = load_model(scratch)
        assert_same(model, expected)
        assert (model.members, model.layer_sizes) == (expected.layers[0].weight.shape[0], (6, 4, 3))
        with safetensors.safe_open(scratch, framework="numpy") as file:
            is_resized = isinstance(expected.image_preprocessor, PictureResizer)
            assert file.metadata()["format_version"] == ("5" if is_resized else "4")
            assert file.get_tensor("layers.1.weight").shape == (model.members, 4, 3)
            assert file.get_tensor("layers.1.bias").shape == (model.members, 3)
    assert make_model().members is None
    assert (ensemble().parameters, repr(ensemble())[:16]) == (5 * make_model().parameters, "Model(5 × 6-4-3,")


def test_networks_of_an_ensemble_that_differ_are_refused(scratch: Path) -> None:
    first, last = ensemble().layers
    for layers, message in (
        ((first, Layer(last.weight[:4], last.bias)), r"layer 1's weight has shape (4, 4, 3), expected (5, 4, outputs)"),
        ((first, Layer(last.weight, last.bias[:4])), r"layer 1's bias has shape (4, 1, 3), expected (5, 1, 3)"),
        ((first, Layer(last.weight[0], last.bias[0])), r"layer 1's weight has shape (4, 3), expected (5, 4, outputs)"),
        ((Layer(first.weight[:0], first.bias[:0]), last), r"layer 0's weight has shape (0, 6, 4)"),
        ((Layer(first.weight[None], first.bias[None]), last), r"layer 0's weight has shape (1, 5, 6, 4)"),
    ):
        with pytest.raises(ModelError) as error:
            make_model(layers=layers)
        assert message in str(error.value)
    content = model_to_bytes(ensemble())
    scratch.write_bytes(content.replace(b'"format_version":"4"', b'"format_version":"3"'))
    with pytest.raises(XpmlpError, match=r"layer 0's bias has shape \(5, 4\), expected \(outputs,\)"):
        load_model(scratch)
