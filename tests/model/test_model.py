"""The fields of a model fit together, and come back from its file bit for bit; damaged files are refused by name."""

import errno
import itertools
import json
import math
import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy

from xpmlp.errors import ModelFileError, OutputError, XpmlpError
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
TABLE = model_to_bytes(make_model(**IS_TABLE))


# Fields that fit together


def zeros(*sizes: int, dtype: Any = np.float32) -> tuple[Layer, ...]:
    return tuple(Layer(np.zeros((i, o), dtype), np.zeros((1, o), dtype)) for i, o in itertools.pairwise(sizes))


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


UPRIGHT = ImagePreprocessor(3, 2, "dark", 0.7, "mass")
TWO_COLUMNS = TableSchema((Column("a", "number"), Column("b", "number")))


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
        (
            {"image_preprocessor": ImagePreprocessor(3, 2, "dark", 0.7, "mass")},
            r"images of 3×2 do not have the input shape \(2, 3\)",
        ),
        (
            {"table_schema": TableSchema((Column("a", "number"), Column("b", "number")))},
            "the first layer takes 6 values, but a row of the table becomes 2",
        ),
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


def test_a_model_is_one_sequence_of_bytes_and_outlives_its_file(path: Path) -> None:
    assert {model_to_bytes(make_model()) for _ in range(20)} == {CONTENT}  # safetensors alone varies the order
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


def test_networks_of_an_ensemble_that_differ_are_refused() -> None:
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


# Files that are damaged, of another kind, or wrong in any one place


def refused(path: Path) -> str:
    """Return the message with which a file is refused; it must begin with the path."""
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert isinstance(caught.value, XpmlpError)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


def loads_or_is_refused(path: Path) -> None:
    """Any file must be a model that can be saved again, or be refused by name; nothing else may happen."""
    try:
        model = load_model(path)
    except ModelFileError:
        refused(path)
    else:
        path.write_bytes(content := model_to_bytes(model))
        assert model_to_bytes(load_model(path)) == content


def header_of(content: bytes) -> Any:
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def description_of(content: bytes) -> Any:
    """Return the JSON object that describes the network."""
    return json.loads(header_of(content)["__metadata__"]["model"])


def rewrite(path: Path, content: bytes, *, tensors: dict[str, Any] | None = None, **metadata: str | None) -> None:
    """Write a model file with other metadata or tensors; None leaves one out."""
    parts = safetensors.numpy.load(content) | (tensors or {}), header_of(content)["__metadata__"] | metadata
    path.write_bytes(safetensors.numpy.save(*({k: v for k, v in part.items() if v is not None} for part in parts)))


def with_value(content: bytes, place: tuple[Any, ...], value: Any) -> str:
    """Return the description in a model file, with another value at that place."""
    whole = description = description_of(content)
    for key in place[:-1]:
        description = description[key]
    description[place[-1]] = value
    return json.dumps(whole)


# Bytes


def test_a_file_that_was_cut_is_refused_wherever_it_was_cut(scratch: Path) -> None:
    for length in range(len(CONTENT)):
        scratch.write_bytes(CONTENT[:length])
        message = refused(scratch)
        reason = r"header too small|invalid header length|incomplete metadata"
        assert re.search(rf"cannot be read as a model file \(.*({reason}).*\)\. Copy or download it again", message)
    scratch.write_bytes(CONTENT + b"\0")
    refused(scratch)


def test_any_single_flipped_bit_makes_another_model_or_is_refused(scratch: Path) -> None:
    for position in range(len(CONTENT)):
        damaged = bytearray(CONTENT)
        damaged[position] ^= 1 << position % 8
        scratch.write_bytes(damaged)
        loads_or_is_refused(scratch)


@settings(max_examples=50)
@given(data=st.binary(max_size=300), header=st.booleans())
@example(data=b"{}", header=True)
@example(data=b'{"__metadata__": {"format": "xpmlp"}}', header=True)
def test_random_bytes_are_refused(scratch: Path, data: bytes, header: bool) -> None:
    scratch.write_bytes(struct.pack("<Q", len(data)) + data if header else data)
    refused(scratch)


# Values


def places(value: Any, *path: Any) -> list[tuple[Any, ...]]:
    """Return the paths of all values within a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path][: len(path)] + [place for key, part in items for place in places(part, *path, key)]


PLACES = [(content, place) for content in (CONTENT, TABLE) for place in places(description_of(content))]


@given(place=st.sampled_from(PLACES), value=JSON | st.integers() | st.floats())
def test_any_json_in_any_place_is_a_model_or_refused(scratch: Path, place: tuple[bytes, Any], value: Any) -> None:
    rewrite(scratch, place[0], model=with_value(*place, value))
    loads_or_is_refused(scratch)


def test_what_is_no_model_file_is_named(path: Path, tmp_path: Path) -> None:
    assert "no such file. Train a model with: xpmlp train" in refused(tmp_path / "missing" / "model.safetensors")
    refused(tmp_path / ("x" * 300))
    refused(tmp_path / "a\0b")
    assert "is a folder without a model. Give the folder of a run, or its model.safetensors." in refused(tmp_path)
    run = tmp_path / "digits"
    run.mkdir()
    shutil.copy(path, run)
    assert f"is a folder without a model. Did you mean {run}?" in refused(tmp_path)
    (run / "run.json").write_text("{}")
    assert f"Give the run's folder, {run}." in refused(run / "run.json")
    assert repr(load_model(run)) == repr(load_model(path))
    np.savez(tmp_path / "arrays.npz", weight=np.zeros((3, 2)))
    assert "cannot be read as a model file" in refused(tmp_path / "arrays.npz")
    for content in (b"", b"\n", b"PK\x03\x04", b"# Notes\n" * 100, b"\xff" * 100, b"\0" * 100):
        path.write_bytes(content)
        assert "cannot be read as a model file" in refused(path)
    for metadata in (None, {}, {"format": "pt"}, {"model": "{}"}, {"format": "XPMLP", "format_version": "1"}):
        path.write_bytes(safetensors.numpy.save({"weight": np.zeros((3, 2))}, metadata))
        assert "is a safetensors file, but not an xpmlp model" in refused(path)


@pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX systems")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")
    assert "not a regular file" in refused(Path(os.devnull))


def test_a_malicious_pickle_is_refused_and_does_nothing(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"

    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(folder),)

    path.write_bytes(pickle.dumps(Malicious()))
    pickle.loads(path.read_bytes())
    folder.rmdir()  # it does make one
    refused(path)
    with path.open("wb") as file:
        np.save(file, np.array([Malicious()], dtype=object), allow_pickle=True)
    refused(path)
    assert not folder.exists()


NEVER = (None, "", "0", "-2", "1.0", "01", "one", "²", "٢.0", "2 ", "1\n", "0" * 5000)


@pytest.mark.parametrize("version", [*NEVER, "6", "10", "9" * 5000])
def test_other_versions_are_named_and_newer_ones_say_how_to_upgrade(path: Path, version: str | None) -> None:
    rewrite(path, CONTENT, format_version=version)
    message = f"has format version {version or ''!r}, expected 1 to 5. Train"
    newer = "this installation reads versions up to 5. Run: pip install --upgrade xpmlp"
    assert (message if version in NEVER else newer) in refused(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "its description is not JSON"),
        ("[]", "its description is invalid: it is [], expected `object`"),
        ("[" * 100_000, "its description is not JSON"),
        ("1" * 5000, "its description is not"),
        ("{}", "missing required field `activation`"),
    ],
)
def test_a_description_that_is_no_json_object_is_refused(path: Path, text: str, message: str) -> None:
    rewrite(path, CONTENT, model=text)
    assert message in refused(path)


@pytest.mark.parametrize("name", ["classes", "training"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_at_any_depth(path: Path, name: str, opening: str, closing: str) -> None:
    description = description_of(CONTENT)
    del description[name]
    others = json.dumps(description)[1:-1]
    # Python's recursion limit is about 1000, less the frames of the test itself, and in C higher since Python 3.12.
    for depth in (10, *range(930, 1005, 3), 100_000):
        text = f'{{"{name}": {opening * depth}0{closing * depth}, {others}}}'
        rewrite(path, CONTENT, model=text)
        if (name, opening) == ("training", '{"a":') and depth < 1100:
            loads_or_is_refused(path)
        else:
            refused(path)


def test_version_1_holds_nothing_of_version_2(path: Path) -> None:
    rewrite(path, CONTENT, model=json.dumps(description_of(CONTENT) | {"table_form": 3, "output_names": [1]}))
    assert model_to_bytes(load_model(path)) == CONTENT


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("activation", None, "its description is invalid: activation is None, expected `str`"),
        ("classes", [True, False, 2], "classes[0] is True, expected `int | str`"),
        ("classes", [0, 1.5, 2], "classes[1] is 1.5, expected `int | str`"),
        ("input_shape", [2.0, 3.0], "input_shape[0] is 2.0, expected `int`"),
        ("input_shape", [10**4000] * 3, "the first layer takes 6 values"),
        ("input_scale", True, "input_scale is True, expected `float`"),
        ("input_scale", 10**400, "input_scale: Number out of range"),
        ("image_form.height", 0, "image_form.height is 0, expected `int` >= 1"),
        ("image_form.background", "grey", "image_form.background: Invalid enum value 'grey'"),
        ("image_form.content_size", math.nan, "image_form.content_size is nan, expected `float` > 0.0"),
        ("image_form.unknown", 1, "image_form: Object contains unknown field `unknown`"),
        ("training", [1] * 100, "training is [1, 1, 1, 1, 1, 1, ...], expected `object`"),
        ("output_names", [1], "output_names[0] is 1, expected `str`"),
        ("table_form.columns", [], "table_form.columns is [], expected `array` of length >= 1"),
        ("table_form.columns", [{"name": "age", "kind": "number"}], "but a row of the table becomes 1"),
        ("table_form.columns", [{"name": "age"}], "table_form.columns[0]: Object missing required field `kind`"),
        ("table_form.missing", "guess", "table_form.missing: Invalid enum value 'guess'"),
        ("table_form.target", "age", "table_form: the target 'age' is also an input"),
        ("table_form.columns.3.name", "age", "table_form: two columns have the same name"),
        ("table_form.columns.0.scale", 0.0, "column 'age' cannot be scaled by 0.0 and 0.0"),
        ("table_form.columns.0.offset", math.nan, "column 'age' cannot be scaled by nan"),
        ("table_form.columns.0.fill", True, "columns[0].fill is True, expected `float | str | null`"),
        ("table_form.columns.1.scale", 2, "is a boolean and cannot be scaled"),
        ("table_form.columns.2.categories", ["a", "a"], "column 'city' has a category twice"),
        ("table_form.columns.2.fill", "x", "column 'city', a category, cannot be filled with 'x'"),
        ("table_form.columns.2.fill", 1, "column 'city', a category, cannot be filled with 1.0"),
    ],
)
def test_an_invalid_value_is_named_with_its_place(path: Path, name: str, value: Any, message: str) -> None:
    content = TABLE if name.startswith(("table", "output")) else CONTENT
    place = tuple(int(key) if key.isdigit() else key for key in name.split("."))
    rewrite(path, content, model=with_value(content, place, value))
    assert message in refused(path)
    assert "The file is damaged. Train a model with: xpmlp train DATA" in refused(path)


def test_a_missing_field_or_description_is_named(path: Path) -> None:
    for content in (CONTENT, TABLE):
        description = description_of(content)
        for name in description:
            rewrite(path, content, model=json.dumps({key: description[key] for key in description if key != name}))
            assert f"its description is invalid: Object missing required field `{name}`" in refused(path)
    rewrite(path, CONTENT, model=None)
    assert "its metadata lack 'model'" in refused(path)
    rewrite(path, CONTENT, tensors=dict.fromkeys(safetensors.numpy.load(CONTENT)))
    assert "there is no layer" in refused(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers.0.weight", None, "the tensor 'layers.0.weight' is missing"),
        ("layers.2.weight", np.zeros((3, 3), np.float32), "the tensor 'layers.2.bias' is missing"),
        ("optimizer.step", np.zeros(1, np.float32), "the tensor 'optimizer.step' is unknown"),
        ("layers.00.weight", np.zeros((4, 3), np.float32), "the tensor 'layers.00.weight' is unknown"),
        ("layers.1.weight", np.zeros((5, 3), np.float32), "layer 1's weight has shape (5, 3), expected (4, outputs)"),
        ("layers.0.bias", np.zeros((1, 4), np.float32), "layer 0's bias has shape (1, 4), expected (4,)"),
        ("layers.0.weight", np.zeros((6, 4), np.complex64), "complex64"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(path: Path, name: str, value: Any, message: str) -> None:
    rewrite(path, CONTENT, tensors={name: value})
    assert message in refused(path)


@pytest.mark.parametrize(("name", "size"), [("BF16", 2), ("F8_E4M3", 1), ("U8", 1), ("U64", 8), ("X9", 4)])
def test_weights_of_a_type_that_numpy_may_not_have_are_refused(path: Path, name: str, size: int) -> None:
    # Written by hand: safetensors' NumPy interface does not write all of them.
    header, offset = header_of(CONTENT), 0
    for key in sorted(header.keys() - {"__metadata__"}):
        end = offset + size * math.prod(header[key]["shape"])
        header[key] |= {"dtype": name, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    refused(path)
