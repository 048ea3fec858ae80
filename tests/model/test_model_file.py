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

from xpmlp.errors import OutputError
from xpmlp.model import Column, ImagePreprocessor, Model, TableSchema, load_model, model_to_bytes, save_model
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


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path to write to again and again."""
    return tmp_path_factory.mktemp("scratch") / "model.safetensors"


@pytest.fixture
def path(scratch: Path) -> Path:
    """The path of a model file."""
    scratch.write_bytes(CONTENT)
    return scratch


CONTENT = model_to_bytes(make_model())


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
            ': [], "table_form": {"columns": [{"name": "age", "kind": "number", "fill": 31.5, "offset": 0.0, '
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
