import errno
import itertools
import json
import math
import os
import pickle
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import example, given
from hypothesis import strategies as st

from xpmlp.errors import ModelFileError, OutputError, XpmlpError
from xpmlp.model import Model
from xpmlp.model.image_preprocessor import ImagePreprocessor
from xpmlp.model.model_file import load_model, model_to_bytes, save_model
from xpmlp.model.table_schema import Column, TableSchema
from xpmlp.nn.layers import Layer

posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions and pipes as on POSIX systems")


def make_model(
    sizes: tuple[int, ...] = (6, 4, 3), classes: tuple[int | str, ...] = ("a", "b", "c"), dtype: Any = np.float32
) -> Model:
    generator = np.random.default_rng(0)
    layers = tuple(
        Layer(
            generator.normal(0, 1, (inputs, outputs)).astype(dtype), generator.normal(0, 1, (1, outputs)).astype(dtype)
        )
        for inputs, outputs in itertools.pairwise(sizes)
    )
    return Model(
        layers=layers,
        activation="relu",
        loss="softmax_cross_entropy",
        classes=classes,
        input_shape=(2, 3),
        input_scale=255.0,
        image_preprocessor=ImagePreprocessor(2, 3, "dark", 0.7, "mass"),
        training={"data": "mnist", "recipe": {"epochs": 3}},
    )


def assert_same(actual: Model, expected: Model) -> None:
    """Compare two models bit by bit."""
    assert len(actual.layers) == len(expected.layers)
    for layer, expected_layer in zip(actual.layers, expected.layers, strict=True):
        for array, other in zip(layer, expected_layer, strict=True):
            assert (array.dtype, array.shape, array.tobytes()) == (other.dtype, other.shape, other.tobytes())
    for name in (
        "activation",
        "loss",
        "classes",
        "input_shape",
        "input_scale",
        "image_preprocessor",
        "training",
        "output_names",
        "table_schema",
    ):
        assert getattr(actual, name) == getattr(expected, name), name
    assert [type(value) for value in actual.classes] == [type(value) for value in expected.classes]


def refused(path: Path) -> str:
    """What is said of a file that is not loaded; it must begin with the path."""
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert isinstance(caught.value, XpmlpError)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a model file."""
    path = tmp_path / "model.safetensors"
    save_model(path, make_model())
    return path


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a model file holds."""
    path = tmp_path_factory.mktemp("whole") / "model.safetensors"
    save_model(path, make_model())
    return path.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path to write to again and again."""
    return tmp_path_factory.mktemp("scratch") / "model.safetensors"


Change = Callable[[dict[str, Any], dict[str, str], dict[str, Any]], object]


def rewrite(path: Path, change: Change) -> None:
    """Change a model file's description, its other metadata, or its tensors, each in place."""
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    description = json.loads(metadata.pop("model"))
    change(description, metadata, tensors)
    metadata.setdefault("model", json.dumps(description))
    path.write_bytes(safetensors.numpy.save(tensors, metadata))


def set_text(text: str) -> Change:
    """Put a text in the description's place."""

    def change(description: dict[str, Any], metadata: dict[str, str], tensors: dict[str, Any]) -> None:
        metadata["model"] = text

    return change


# There and back

# Without surrogates, which no encoding can write out; they are tried below.
LABEL = st.integers(-(2**70), 2**70) | st.text(max_size=5)
FINITE = {
    "f4": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "f8": st.floats(allow_nan=False, allow_infinity=False),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    classes = tuple(draw(st.lists(LABEL, min_size=2, max_size=4, unique=True)))
    is_image = draw(st.booleans())
    input_shape = tuple(draw(st.lists(st.integers(1, 3), min_size=2 if is_image else 1, max_size=2 if is_image else 3)))
    sizes = (math.prod(input_shape), *draw(st.lists(st.integers(1, 4), max_size=2)), len(classes))
    dtype = draw(st.sampled_from(["f4", "f8"]))

    def array(*shape: int) -> Any:
        count = math.prod(shape)
        return np.asarray(draw(st.lists(FINITE[dtype], min_size=count, max_size=count)), dtype=dtype).reshape(shape)

    form = None
    if is_image and draw(st.booleans()):
        form = (
            *input_shape,
            draw(st.sampled_from(["dark", "light"])),
            draw(st.floats(0.0, 1.0, exclude_min=True)),
            draw(st.sampled_from(["mass", "box", "none"])),
        )
    return {
        "layers": tuple(Layer(array(i, o), array(1, o)) for i, o in itertools.pairwise(sizes)),
        "activation": draw(st.sampled_from(["relu", "tanh", "logistic", "identity"])),
        "loss": draw(st.sampled_from(["softmax_cross_entropy", "logistic_cross_entropy", "squared_error"])),
        "classes": classes,
        "input_shape": input_shape,
        "input_scale": draw(st.floats(0.0, exclude_min=True, allow_infinity=False)),
        "image_preprocessor": form,
        "training": draw(st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
    }


@given(parts=models())
def test_a_model_comes_back_bit_for_bit(scratch: Path, parts: dict[str, Any]) -> None:
    form = parts["image_preprocessor"]
    model = Model(**parts | {"image_preprocessor": form and ImagePreprocessor(*form)})
    save_model(scratch, model)
    assert_same(load_model(scratch), model)


@pytest.mark.parametrize(
    "classes",
    [
        (0, 1, 2),
        (1, "1", "一"),
        ("🙂", "e\u0301", "é"),
        ("", " ", "a\0"),
        ("\ud800", "a", "b"),  # half of a surrogate pair, as names of files may hold
        (10**50, -(10**50), 0),
    ],
)
def test_labels_of_any_kind_come_back(scratch: Path, classes: tuple[int | str, ...]) -> None:
    model = make_model(classes=classes)
    save_model(scratch, model)
    assert_same(load_model(scratch), model)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "column by column": np.asfortranarray,
    "every other": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: array[::-1].copy()[::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_arrays_of_any_layout_in_memory_come_back(scratch: Path, layout: Any) -> None:
    model = make_model()
    layers = tuple(Layer(layout(layer.weight), layout(layer.bias)) for layer in model.layers)
    save_model(scratch, replace(model, layers=layers))
    assert_same(load_model(scratch), model)


def test_one_model_is_one_sequence_of_bytes(scratch: Path) -> None:
    model = make_model()
    contents = {model_to_bytes(model) for _ in range(20)}  # safetensors' own order of metadata is drawn each time
    assert len(contents) == 1
    scratch.write_bytes(contents.pop())
    assert_same(load_model(scratch), model)


def test_what_is_loaded_can_be_used_when_the_file_is_gone(path: Path) -> None:
    model = load_model(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    path.unlink()
    assert_same(model, make_model())


TABLE_FORM = TableSchema(
    (
        Column("age", "number", fill=31.5, offset=30.0, scale=12.25),
        Column("Käufer 🙂", "boolean", fill=1),
        Column("city", "category", ("Bern", "", "Ürich"), fill="Bern"),
        Column("raw", "number"),
    ),
    target="label",
    missing="median",
    scaling="standard",
)
OTHER_TASKS: dict[str, dict[str, Any]] = {
    "binary": {"loss": "logistic_cross_entropy", "outputs": 1, "classes": ("no", "yes")},
    "regression": {"loss": "squared_error", "outputs": 2, "classes": (), "output_names": ("price", "Größe")},
    "counts": {"loss": "poisson", "outputs": 1, "classes": (), "output_names": ("count",)},
    "table": {"table_schema": TABLE_FORM},
}


def make_other(outputs: int = 3, **changes: Any) -> Model:
    layers = (*make_model().layers[:1], Layer(np.ones((4, outputs), np.float32), np.ones((1, outputs), np.float32)))
    return replace(make_model(), layers=layers, input_shape=(6,), image_preprocessor=None, **changes)


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_a_model_that_needs_version_2_comes_back(scratch: Path, task: str) -> None:
    model = make_other(**OTHER_TASKS[task])
    save_model(str(scratch), model)
    with safetensors.safe_open(scratch, framework="numpy") as file:
        assert file.metadata()["format_version"] == "2"
    assert_same(load_model(str(scratch)), model)


def test_several_labels_at_once_need_no_newer_version(scratch: Path) -> None:
    model = replace(make_model(), loss="logistic_cross_entropy")
    save_model(scratch, model)
    with safetensors.safe_open(scratch, framework="numpy") as file:
        assert file.metadata()["format_version"] == "1"
    assert_same(load_model(scratch), model)


def test_version_1_holds_nothing_of_version_2(path: Path) -> None:
    rewrite(
        path,
        lambda description, metadata, tensors: description.update(table_form=TABLE_FORM.to_json(), output_names=[1]),
    )
    assert_same(load_model(path), make_model())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.pop("table_form"), "its description lacks 'table_form'"),
        (lambda model: model.pop("output_names"), "its description lacks 'output_names'"),
        (lambda model: model.update(table_form=[]), "'table_form' is [], expected an object or null"),
        (lambda model: model.update(output_names=[1]), "'output_names' is [1], expected a list of texts"),
        (lambda model: model["table_form"].pop("columns"), "table form: columns missing"),
        (lambda model: model["table_form"].update(columns=[]), "table form: there are no columns"),
        (lambda model: model["table_form"].update(columns=3), "table form: columns is 3, expected a list"),
        (lambda model: model["table_form"].update(more=3), "table form: unknown more"),
        (lambda model: model["table_form"].update(missing="guess"), "missing is 'guess', expected refuse, mean"),
        (lambda model: model["table_form"].update(scaling=None), "table form: scaling is None"),
        (lambda model: model["table_form"].update(target="age"), "the target 'age' is also an input"),
        (lambda model: model["table_form"]["columns"].pop(), "but a row of the table becomes 5"),
        (lambda model: model["table_form"]["columns"][0].update(kind="text"), "a column's kind is 'text'"),
        (lambda model: model["table_form"]["columns"][0].update(scale=0.0), "column 'age' cannot be scaled"),
        (
            lambda model: model["table_form"]["columns"][0].update(offset=math.nan),
            "column 'age' cannot be scaled by nan",
        ),
        (lambda model: model["table_form"]["columns"][0].update(offset=10**400), "column 'age' is too large"),
        (lambda model: model["table_form"]["columns"][0].update(fill="x"), "cannot be filled with 'x'"),
        (lambda model: model["table_form"]["columns"][0].update(fill=True), "a column's fill is True"),
        (lambda model: model["table_form"]["columns"][0].pop("name"), "table form: name missing"),
        (lambda model: model["table_form"]["columns"][1].update(scale=2), "is a boolean and cannot be scaled"),
        (lambda model: model["table_form"]["columns"][2].update(categories=["a", "a", ""]), "has a category twice"),
        (lambda model: model["table_form"]["columns"][2].update(categories=[1, 2, 3]), "categories is [1, 2, 3]"),
        (lambda model: model["table_form"]["columns"][2].update(categories=[]), "is a category of 0 categories"),
        (
            lambda model: model["table_form"]["columns"][2].update(fill="x"),
            "column 'city', a category, cannot be filled with 'x'",
        ),
        (lambda model: model["table_form"]["columns"][3].update(name="age"), "two columns have the same name"),
    ],
)
def test_a_damaged_description_of_version_2_is_refused_by_name(
    scratch: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    save_model(scratch, make_other(**OTHER_TASKS["table"]))
    rewrite(scratch, lambda description, metadata, tensors: change(description))
    assert message in refused(scratch)


@given(name=st.sampled_from(["columns", "target", "missing", "scaling"]), value=JSON | st.floats())
def test_any_json_in_a_table_form_makes_another_model_or_is_refused(scratch: Path, name: str, value: Any) -> None:
    save_model(scratch, make_other(**OTHER_TASKS["table"]))
    rewrite(scratch, lambda description, metadata, tensors: description["table_form"].update({name: value}))
    loads_or_is_refused(scratch)


@given(
    column=st.integers(0, 3),
    name=st.sampled_from(["name", "kind", "categories", "fill", "offset", "scale"]),
    value=JSON | st.floats(),
)
def test_any_json_in_a_column_makes_another_model_or_is_refused(
    scratch: Path, column: int, name: str, value: Any
) -> None:
    save_model(scratch, make_other(**OTHER_TASKS["table"]))
    rewrite(
        scratch,
        lambda description, metadata, tensors: description["table_form"]["columns"][column].update({name: value}),
    )
    loads_or_is_refused(scratch)


# The file


def test_the_file_is_a_plain_safetensors_file(path: Path) -> None:
    model = make_model()
    tensors = safetensors.numpy.load_file(path)
    assert sorted(tensors) == ["layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight"]
    for index, layer in enumerate(model.layers):
        np.testing.assert_array_equal(tensors[f"layers.{index}.weight"], layer.weight, strict=True)
        np.testing.assert_array_equal(tensors[f"layers.{index}.bias"], layer.bias[0], strict=True)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert sorted(metadata) == ["format", "format_version", "model"]
    assert (metadata["format"], metadata["format_version"]) == ("xpmlp", "1")
    assert json.loads(metadata["model"]) == {
        "activation": "relu",
        "loss": "softmax_cross_entropy",
        "classes": ["a", "b", "c"],
        "input_shape": [2, 3],
        "input_scale": 255.0,
        "image_form": {"height": 2, "width": 3, "background": "dark", "content_size": 0.7, "centering": "mass"},
        "training": {"data": "mnist", "recipe": {"epochs": 3}},
    }


# Damage


def test_a_file_that_was_cut_is_refused_wherever_it_was_cut(content: bytes, scratch: Path) -> None:
    end_of_header = 8 + int.from_bytes(content[:8], "little")
    for length in range(len(content)):
        scratch.write_bytes(content[:length])
        said = refused(scratch)
        # With eight bytes one cannot tell yet what kind of file it was.
        if length > 8:
            whole = len(content) if length >= end_of_header else end_of_header
            assert (
                f"it is cut short: {length:,} bytes are there, at least {whole:,} belong to it). Copy or download"
                in said
            )


def test_a_file_with_something_after_its_end_is_refused(content: bytes, scratch: Path) -> None:
    scratch.write_bytes(content + b"\0")
    refused(scratch)


def loads_or_is_refused(path: Path) -> None:
    """Any file must be a model that can be saved again, or be refused by name; nothing else may come out."""
    try:
        model = load_model(path)
    except ModelFileError:
        refused(path)
    else:
        save_model(path, model)
        # NaN may stand in the record of the training alone, and is then not equal to itself.
        assert_same(replace(load_model(path), training={}), replace(model, training={}))


@given(changes=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bits_make_another_model_or_are_refused(
    content: bytes, scratch: Path, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(content)
    for position, flip in changes:
        damaged[position % len(content)] ^= flip
    scratch.write_bytes(damaged)
    loads_or_is_refused(scratch)


def test_any_single_flipped_bit_makes_another_model_or_is_refused(content: bytes, scratch: Path) -> None:
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        scratch.write_bytes(damaged)
        loads_or_is_refused(scratch)


@given(data=st.binary(max_size=300), header=st.booleans())
@example(data=b"{}", header=True)
@example(data=b'{"__metadata__": {"format": "xpmlp"}}', header=True)
def test_random_bytes_are_refused(scratch: Path, data: bytes, header: bool) -> None:
    scratch.write_bytes(struct.pack("<Q", len(data)) + data if header else data)
    refused(scratch)


@given(
    name=st.sampled_from(["activation", "loss", "classes", "input_shape", "input_scale", "image_form", "training"]),
    value=JSON | st.integers() | st.floats() | st.lists(st.integers() | st.text(max_size=3), max_size=4),
)
def test_any_json_in_the_place_of_a_field_makes_another_model_or_is_refused(
    content: bytes, scratch: Path, name: str, value: Any
) -> None:
    scratch.write_bytes(content)
    rewrite(scratch, lambda description, metadata, tensors: description.update({name: value}))
    loads_or_is_refused(scratch)


@given(name=st.sampled_from(["height", "width", "background", "content_size", "centering"]), value=JSON | st.floats())
def test_any_json_in_an_image_form_makes_another_model_or_is_refused(
    content: bytes, scratch: Path, name: str, value: Any
) -> None:
    scratch.write_bytes(content)
    rewrite(scratch, lambda description, metadata, tensors: description["image_form"].update({name: value}))
    loads_or_is_refused(scratch)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "missing.safetensors")
    assert "there is no such file" in refused(tmp_path / "missing" / "model.safetensors")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300))
    refused(tmp_path / "a\0b")


def test_a_folder_is_named_with_the_model_that_it_holds(path: Path) -> None:
    assert f"is a folder, not a model file. Did you mean {path}?" in refused(path.parent)
    path.unlink()
    assert "is a folder, not a model file. Give the path of a model.safetensors." in refused(path.parent)


@posix_only
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")
    assert "not a regular file" in refused(Path(os.devnull))


@pytest.mark.parametrize("foreign", [b"", b"\n", b"PK\x03\x04", b"# Notes\n" * 100, b"\xff" * 100, b"\0" * 100])
def test_a_file_of_another_kind_is_refused(scratch: Path, foreign: bytes) -> None:
    scratch.write_bytes(foreign)
    assert "cannot be read as a model file" in refused(scratch)


def test_an_npz_and_a_pickle_of_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", weight=np.zeros((3, 2)))
    (tmp_path / "arrays.pickle").write_bytes(pickle.dumps({"weight": np.zeros((3, 2))}))
    for name in ("arrays.npz", "arrays.pickle"):
        assert "cannot be read as a model file" in refused(tmp_path / name)


class Malicious:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_malicious_pickle_is_refused_and_does_nothing(path: Path) -> None:
    folder = path.parent / "made"
    malicious = pickle.dumps(Malicious(folder))
    pickle.loads(malicious)
    assert folder.is_dir()  # it would
    folder.rmdir()

    path.write_bytes(malicious)
    refused(path)
    objects = np.empty(1, dtype=object)
    objects[0] = Malicious(folder)
    with path.open("wb") as file:
        np.save(file, objects, allow_pickle=True)
    refused(path)
    assert not folder.exists()


def test_a_foreign_safetensors_file_is_refused(scratch: Path) -> None:
    for metadata in (None, {}, {"format": "pt"}, {"model": "{}"}, {"format": "XPMLP", "format_version": "1"}):
        scratch.write_bytes(safetensors.numpy.save({"weight": np.zeros((3, 2))}, metadata))
        assert "is a safetensors file, but not one of xpmlp's models" in refused(scratch)


@pytest.mark.parametrize("version", ["3", "10", "9" * 50, "9" * 5000])
def test_a_newer_version_says_how_to_upgrade(path: Path, version: str) -> None:
    rewrite(path, lambda description, metadata, tensors: metadata.update(format_version=version))
    message = refused(path)
    assert "newer than 2, the newest that this installation reads" in message
    assert "pip install --upgrade xpmlp" in message


@pytest.mark.parametrize("version", ["", "0", "-2", "1.0", "01", "one", "²", "٢.0", "2 ", "1\n", "0" * 5000])
def test_a_version_that_there_never_was_is_refused_by_name(path: Path, version: str) -> None:
    rewrite(path, lambda description, metadata, tensors: metadata.update(format_version=version))
    message = refused(path)
    assert "expected 1" in message
    assert "upgrade" not in message


def test_no_version_is_refused(path: Path) -> None:
    rewrite(path, lambda description, metadata, tensors: metadata.pop("format_version"))
    assert "has the format version '', expected 1" in refused(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its description is not JSON"),
        ("{", "its description is not JSON"),
        ("[]", "its description is not a JSON object"),
        ("null", "its description is not a JSON object"),
        ("[" * 100_000, "its description is not JSON"),
        ('{"a":' * 100_000, "its description is not JSON"),
        ("1" * 5000, "its description is not"),
        ("{}", "its description lacks 'activation'"),
    ],
)
def test_a_description_that_is_no_json_object_is_refused(path: Path, text: str, message: str) -> None:
    rewrite(path, set_text(text))
    assert message in refused(path)


@pytest.mark.parametrize("name", ["activation", "classes", "input_scale", "image_form", "training"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_values_that_are_nested_deeply_are_refused_at_any_depth(
    path: Path, name: str, opening: str, closing: str
) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()["model"])
    del description[name]
    others = json.dumps(description)[1:-1]
    # Around 1000 lies Python's recursion limit, from which the frames of the test itself go off.
    for depth in (10, *range(850, 1010, 4), 5000, 100_000):
        save_model(path, make_model())
        rewrite(path, set_text(f'{{"{name}": {opening * depth}0{closing * depth}, {others}}}'))
        if (name, opening) == ("training", '{"a":') and depth <= 850:
            assert load_model(path).training  # anything that JSON can hold
        elif (name, opening) != ("training", '{"a":') or depth >= 1000:
            refused(path)


def test_no_model_metadata_is_refused(path: Path) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path.write_bytes(safetensors.numpy.save(tensors, {"format": "xpmlp", "format_version": "1"}))
    assert "its metadata lack 'model'" in refused(path)


@pytest.mark.parametrize(
    "name", ["activation", "loss", "classes", "input_shape", "input_scale", "image_form", "training"]
)
def test_a_field_that_is_missing_is_named(path: Path, name: str) -> None:
    rewrite(path, lambda description, metadata, tensors: description.pop(name))
    assert f"its description lacks '{name}'" in refused(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("activation", None, "'activation' is None, expected a name"),
        ("activation", ["relu"], "'activation' is ['relu'], expected a name"),
        ("activation", "swish", "the activation 'swish' is not one of"),
        ("loss", 1, "'loss' is 1, expected a name"),
        ("loss", "hinge", "the loss 'hinge' is not one of"),
        ("classes", "abc", "'classes' is 'abc', expected a list of whole numbers or texts"),
        ("classes", {"a": 0}, "expected a list of whole numbers or texts"),
        ("classes", [True, False, 2], "'classes' is [True, False, 2], expected a list of whole numbers or texts"),
        ("classes", [0.5, 1, 2], "expected a list of whole numbers or texts"),
        ("classes", [None, 1, 2], "expected a list of whole numbers or texts"),
        ("classes", [[0], 1, 2], "expected a list of whole numbers or texts"),
        ("classes", ["a", "b", "a"], "are not two or more different labels"),
        ("classes", ["a", "b"], "3 outputs, but there are 2 classes"),
        ("classes", [], "are not two or more different labels"),
        ("input_shape", 6, "'input_shape' is 6, expected a list of whole numbers"),
        ("input_shape", [2.0, 3.0], "'input_shape' is [2.0, 3.0], expected a list of whole numbers"),
        ("input_shape", [True, 6], "expected a list of whole numbers"),
        ("input_shape", [], "the input shape () holds no values"),
        ("input_shape", [3, 2], "images of 2×3 do not have the input shape (3, 2)"),
        ("input_shape", [7], "the first layer takes 6 values, but the input shape is (7,)"),
        ("input_shape", [-2, -3], "the input shape (-2, -3) holds no values"),
        ("input_shape", [10**4000] * 3, "the first layer takes 6 values"),
        ("input_scale", "255", "'input_scale' is '255', expected a number"),
        ("input_scale", True, "'input_scale' is True, expected a number"),
        ("input_scale", None, "'input_scale' is None, expected a number"),
        ("input_scale", 0, "the input scale 0.0 is not a number above 0"),
        ("input_scale", -1.5, "the input scale -1.5 is not a number above 0"),
        ("input_scale", math.nan, "the input scale nan is not a number above 0"),
        ("input_scale", math.inf, "the input scale inf is not a number above 0"),
        ("input_scale", 10**400, "too large"),
        ("image_form", [], "'image_form' is [], expected an object or null"),
        ("image_form", {}, "image form: height, width, background, content_size, centering missing"),
        ("training", None, "'training' is None, expected an object"),
        ("training", [1] * 100, "..., expected an object"),
    ],
)
def test_a_field_that_cannot_be_is_named(path: Path, name: str, value: Any, message: str) -> None:
    rewrite(path, lambda description, metadata, tensors: description.update({name: value}))
    assert message in refused(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("height", 3),
        ("height", 2.0),
        ("height", 0),
        ("height", 10**400),
        ("width", True),
        ("width", None),
        ("background", "grey"),
        ("background", ["dark"]),
        ("content_size", math.nan),
        ("content_size", 0),
        ("content_size", 1.5),
        ("content_size", 10**400),
        ("centering", {"by": "mass"}),
        ("unknown", 1),
    ],
)
def test_an_image_form_that_cannot_be_is_refused(path: Path, name: str, value: Any) -> None:
    rewrite(path, lambda description, metadata, tensors: description["image_form"].update({name: value}))
    assert "image" in refused(path)


def set_tensor(name: str, value: Any) -> Change:
    def change(description: dict[str, Any], metadata: dict[str, str], tensors: dict[str, Any]) -> None:
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value

    return change


NAN = np.zeros((4, 3), np.float32)
NAN[3, 2] = math.nan


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers.0.weight", None, "the tensor 'layers.0.weight' is missing"),
        ("layers.1.bias", None, "the tensor 'layers.1.bias' is missing"),
        ("layers.2.weight", np.zeros((3, 3), np.float32), "the tensor 'layers.2.bias' is missing"),
        ("optimizer.step", np.zeros(1, np.float32), "the tensor 'optimizer.step' is not known"),
        ("layers.00.weight", np.zeros((4, 3), np.float32), "the tensor 'layers.00.weight' is not known"),
        ("layers.1.weight", np.zeros((5, 3), np.float32), "layer 1's weight has shape (5, 3), expected (4, outputs)"),
        ("layers.1.weight", np.zeros((3, 4), np.float32), "layer 1's weight has shape (3, 4), expected (4, outputs)"),
        ("layers.1.weight", np.zeros((4, 0), np.float32), "layer 1's weight has shape (4, 0)"),
        ("layers.1.weight", np.zeros(12, np.float32), "layer 1's weight has shape (12,)"),
        ("layers.0.weight", np.zeros((), np.float32), "layer 0's weight has shape ()"),
        ("layers.0.weight", np.zeros((1, 6, 4), np.float32), "layer 0's weight has shape (1, 6, 4)"),
        ("layers.0.bias", np.zeros(5, np.float32), "layer 0's bias has shape (1, 5), expected (1, 4)"),
        ("layers.0.bias", np.zeros((1, 4), np.float32), "layer 0's bias has shape (1, 4), expected (outputs,)"),
        ("layers.0.bias", np.zeros((), np.float32), "layer 0's bias has shape ()"),
        ("layers.0.weight", np.zeros((6, 4), np.int64), "the weights are int64, neither float32 nor float64"),
        ("layers.0.weight", np.zeros((6, 4), np.float16), "the weights are float16"),
        ("layers.0.weight", np.zeros((6, 4), np.bool_), "the weights are bool"),
        ("layers.0.weight", np.zeros((6, 4), np.complex64), ""),
        ("layers.0.weight", np.zeros((6, 4), np.float64), "layer 0 is not float64"),
        ("layers.1.bias", np.zeros(3, np.float64), "layer 1 is not float32"),
        ("layers.1.weight", NAN, "layer 1 holds a NaN or an infinity"),
        ("layers.0.bias", np.full(4, np.inf, np.float32), "layer 0 holds a NaN or an infinity"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(path: Path, name: str, value: Any, message: str) -> None:
    rewrite(path, set_tensor(name, value))
    assert message in refused(path)


def test_an_extra_pair_of_tensors_is_refused(path: Path) -> None:
    def change(description: dict[str, Any], metadata: dict[str, str], tensors: dict[str, Any]) -> None:
        tensors["velocity.0.weight"] = tensors["velocity.0.bias"] = np.zeros((1, 1), np.float32)

    rewrite(path, change)
    assert "the tensor 'velocity.0.bias' is not known" in refused(path)


def test_a_file_without_tensors_is_refused(path: Path) -> None:
    rewrite(path, lambda description, metadata, tensors: tensors.clear())
    assert "there is no layer" in refused(path)


@pytest.mark.parametrize(
    ("name", "size"),
    [("BF16", 2), ("F16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1), ("U8", 1), ("I8", 1), ("U64", 8), ("X9", 4)],
)
def test_weights_of_a_type_that_numpy_may_not_have_are_refused(path: Path, name: str, size: int) -> None:
    # Written by hand: safetensors' NumPy interface does not write all of them.
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    offset = 0
    for key in sorted(header.keys() - {"__metadata__"}):
        end = offset + size * math.prod(header[key]["shape"])
        header[key] |= {"dtype": name, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    refused(path)


# A disk that fails


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_model(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OutputError, match=r"model.safetensors: cannot be written \(No space left on device\)"):
            save_model(path, make_model(dtype=np.float64))
    assert_same(load_model(path), make_model())
    assert [entry.name for entry in path.parent.iterdir()] == ["model.safetensors"]
    save_model(path, make_model(dtype=np.float64))
    assert_same(load_model(path), make_model(dtype=np.float64))


def test_a_record_that_json_cannot_hold_keeps_the_old_model(path: Path) -> None:
    with pytest.raises(TypeError):
        save_model(path, replace(make_model(), training={"loss": object()}))
    assert_same(load_model(path), make_model())


@posix_only
def test_a_model_file_is_as_readable_as_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_model(tmp_path / "model.safetensors", make_model())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o640


@posix_only
def test_a_linked_model_is_loaded_and_saved_where_the_link_points(path: Path) -> None:
    link = path.parent / "link.safetensors"
    link.symlink_to(path.name)
    assert_same(load_model(link), make_model())
    save_model(link, make_model(dtype=np.float64))
    assert link.is_symlink()
    assert_same(load_model(path), make_model(dtype=np.float64))
