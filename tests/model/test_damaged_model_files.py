"""Model files that are damaged, of another kind, or wrong in any one place are refused by name."""

import json
import math
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xpmlp.errors import ModelFileError, XpmlpError
from xpmlp.model import Column, ImagePreprocessor, Model, TableSchema, load_model, model_to_bytes
from xpmlp.nn.layers import Layer


def content_of(**changes: Any) -> bytes:
    generator = np.random.default_rng(0)
    layers = tuple(
        Layer(generator.random((i, o), np.float32), generator.random((1, o), np.float32)) for i, o in ((6, 4), (4, 3))
    )
    values = {"layers": layers, "activation": "relu", "loss": "softmax_cross_entropy", "classes": ("a", "b", "c")}
    return model_to_bytes(Model(**(values | changes)))


IMAGES = content_of(
    input_shape=(2, 3),
    input_scale=255.0,
    image_preprocessor=ImagePreprocessor(2, 3, "dark", 0.7, "mass"),
    training={"data": "mnist"},
)
COLUMNS = (
    Column("age", "number", fill=31.5, scale=12.25),
    Column("buyer", "boolean", fill=1),
    Column("city", "category", ("Bern", "", "Ürich"), fill="Bern"),
    Column("raw", "number"),
)
TABLE = content_of(
    input_shape=(6,), input_scale=1.0, table_schema=TableSchema(COLUMNS, "label", missing="median", scaling="standard")
)


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


@pytest.fixture
def path(scratch: Path) -> Path:
    """The path of a model file."""
    scratch.write_bytes(IMAGES)
    return scratch


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
    end_of_header = 8 + int.from_bytes(IMAGES[:8], "little")
    for length in range(len(IMAGES)):
        scratch.write_bytes(IMAGES[:length])
        message = refused(scratch)
        if length > 8:  # before, the kind of file is unknown
            whole = len(IMAGES) if length >= end_of_header else end_of_header
            assert f"(cut short: {length:,} bytes of at least {whole:,}). Copy or download it again." in message
    scratch.write_bytes(IMAGES + b"\0")
    refused(scratch)


def test_any_single_flipped_bit_makes_another_model_or_is_refused(scratch: Path) -> None:
    for position in range(len(IMAGES)):
        damaged = bytearray(IMAGES)
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

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, *path: Any) -> list[tuple[Any, ...]]:
    """Return the paths of all values within a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path][: len(path)] + [place for key, part in items for place in places(part, *path, key)]


PLACES = [(content, place) for content in (IMAGES, TABLE) for place in places(description_of(content))]


@given(place=st.sampled_from(PLACES), value=JSON | st.integers() | st.floats())
def test_any_json_in_any_place_makes_another_model_or_is_refused(
    scratch: Path, place: tuple[bytes, tuple[Any, ...]], value: Any
) -> None:
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


@pytest.mark.parametrize("version", ["6", "10", "9" * 5000])
def test_a_newer_version_says_how_to_upgrade(path: Path, version: str) -> None:
    rewrite(path, IMAGES, format_version=version)
    assert "this installation reads versions up to 5. Run: pip install --upgrade xpmlp" in refused(path)


@pytest.mark.parametrize("version", [None, "", "0", "-2", "1.0", "01", "one", "²", "٢.0", "2 ", "1\n", "0" * 5000])
def test_a_version_that_never_existed_is_refused_by_name(path: Path, version: str | None) -> None:
    rewrite(path, IMAGES, format_version=version)
    assert f"has format version {version or ''!r}, expected 1 to 5. Train" in refused(path)


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
    rewrite(path, IMAGES, model=text)
    assert message in refused(path)


@pytest.mark.parametrize("name", ["classes", "training"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_at_any_depth(path: Path, name: str, opening: str, closing: str) -> None:
    description = description_of(IMAGES)
    del description[name]
    others = json.dumps(description)[1:-1]
    # Python's recursion limit is about 1000, less the frames of the test itself, and in C higher since Python 3.12.
    for depth in (10, *range(930, 1005, 3), 100_000):
        text = f'{{"{name}": {opening * depth}0{closing * depth}, {others}}}'
        rewrite(path, IMAGES, model=text)
        if (name, opening) == ("training", '{"a":') and depth < 1100:
            loads_or_is_refused(path)
        else:
            refused(path)


def test_version_1_holds_nothing_of_version_2(path: Path) -> None:
    rewrite(path, IMAGES, model=json.dumps(description_of(IMAGES) | {"table_form": 3, "output_names": [1]}))
    assert model_to_bytes(load_model(path)) == IMAGES


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
    content = TABLE if name.startswith(("table", "output")) else IMAGES
    place = tuple(int(key) if key.isdigit() else key for key in name.split("."))
    rewrite(path, content, model=with_value(content, place, value))
    assert message in refused(path)
    assert "The file is damaged. Train a model with: xpmlp train DATA" in refused(path)


def test_a_missing_field_or_description_is_named(path: Path) -> None:
    for content in (IMAGES, TABLE):
        description = description_of(content)
        for name in description:
            rewrite(path, content, model=json.dumps({key: description[key] for key in description if key != name}))
            assert f"its description is invalid: Object missing required field `{name}`" in refused(path)
    rewrite(path, IMAGES, model=None)
    assert "its metadata lack 'model'" in refused(path)
    rewrite(path, IMAGES, tensors=dict.fromkeys(safetensors.numpy.load(IMAGES)))
    assert "there is no layer" in refused(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers.0.weight", None, "the tensor 'layers.0.weight' is missing"),
        ("layers.2.weight", np.zeros((3, 3), np.float32), "the tensor 'layers.2.bias' is missing"),
        ("optimizer.step", np.zeros(1, np.float32), "the tensor 'optimizer.step' is unknown"),
        ("layers.00.weight", np.zeros((4, 3), np.float32), "the tensor 'layers.00.weight' is unknown"),
        ("layers.1.weight", np.zeros((5, 3), np.float32), "layer 1's weight has shape (5, 3), expected (4, outputs)"),
        ("layers.0.bias", np.zeros((1, 4), np.float32), "layer 0's bias has shape (1, 4), expected (outputs,)"),
        ("layers.0.weight", np.zeros((6, 4), np.complex64), "complex64"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(path: Path, name: str, value: Any, message: str) -> None:
    rewrite(path, IMAGES, tensors={name: value})
    assert message in refused(path)


@pytest.mark.parametrize(("name", "size"), [("BF16", 2), ("F8_E4M3", 1), ("U8", 1), ("U64", 8), ("X9", 4)])
def test_weights_of_a_type_that_numpy_may_not_have_are_refused(path: Path, name: str, size: int) -> None:
    # Written by hand: safetensors' NumPy interface does not write all of them.
    header, offset = header_of(IMAGES), 0
    for key in sorted(header.keys() - {"__metadata__"}):
        end = offset + size * math.prod(header[key]["shape"])
        header[key] |= {"dtype": name, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    refused(path)
