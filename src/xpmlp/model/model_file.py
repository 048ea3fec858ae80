"""One safetensors file that holds a model. It is data alone: reading it runs nothing.

Its tensors are ``layers.0.weight`` of shape (inputs, outputs), ``layers.0.bias`` of shape (outputs,), and so on; its
metadata are ``format`` (``"xpmlp"``), ``format_version``, and ``model``, a JSON object with all else.

A file is of the lowest version that can hold its model, so that older installations read what they can. Version 1 holds
classifiers with an output for each class. Version 2 adds ``output_names`` and ``table_form``, and with them regression,
two classes on one output, and models of tables.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from xpmlp.errors import ModelFileError
from xpmlp.nn.layers import Layer, Layers
from xpmlp.whole_files import write_whole

from .image_preprocessor import ImagePreprocessor
from .model import Model, ModelError
from .table_schema import TableSchema

FORMAT = "xpmlp"
FORMAT_VERSIONS = ("1", "2")
NEWEST = FORMAT_VERSIONS[-1]


def save_model(path: str | Path, model: Model) -> None:
    """Write `model` to `path`, whole or not at all.

    Raises
    ------
    OutputError
        Where the file cannot be written; what was there before is kept.
    """
    write_whole(Path(path), model_to_bytes(model))


def model_to_bytes(model: Model) -> bytes:
    """Return the content of a file that holds `model`: the same bytes for the same model."""
    tensors = {}
    for index, layer in enumerate(model.layers):
        tensors[f"layers.{index}.weight"] = np.ascontiguousarray(layer.weight)
        tensors[f"layers.{index}.bias"] = np.ascontiguousarray(layer.bias[0])
    description = {
        "activation": model.activation,
        "loss": model.loss,
        "classes": list(model.classes),
        "input_shape": list(model.input_shape),
        "input_scale": model.input_scale,
        "image_form": None if model.image_preprocessor is None else model.image_preprocessor.to_json(),
        "training": model.training,
    }
    version = "1"
    if model.table_schema is not None or model.task in ("regression", "binary"):
        version = "2"
        description["output_names"] = list(model.output_names)
        description["table_form"] = None if model.table_schema is None else model.table_schema.to_json()
    metadata = {"format": FORMAT, "format_version": version, "model": json.dumps(description)}
    return with_sorted_metadata(safetensors.numpy.save(tensors, metadata))


def with_sorted_metadata(content: bytes) -> bytes:
    """Return a safetensors file with its metadata in the order of their names; safetensors has them in any order."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def load_model(path: str | Path) -> Model:
    """Read the model in `path`, and check that all it says fits together.

    Raises
    ------
    ModelFileError
        Where there is no such file, or it is damaged, foreign, of a newer format, or contradicts itself; the message
        says what was found.
    """
    path = Path(path)
    metadata, tensors = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: is a safetensors file, but not one of xpmlp's models. {HOW_TO_TRAIN}")
    version = metadata.get("format_version", "")
    if version not in FORMAT_VERSIONS:
        if version.isdecimal() and int(version[:9]) > int(NEWEST):
            raise ModelFileError(
                f"{path}: is of format version {version}, newer than {NEWEST}, the newest that this installation "
                "reads. Run: pip install --upgrade xpmlp"
            )
        raise ModelFileError(f"{path}: has the format version {version!r}, expected 1 to {NEWEST}. {HOW_TO_TRAIN}")
    try:
        if "model" not in metadata:
            raise ModelError("its metadata lack 'model', the description of the network")
        return parse_model(metadata["model"], tensors, version)
    except ModelError as error:
        raise ModelFileError(f"{path}: {error}. The file is damaged. {HOW_TO_TRAIN}") from error


HOW_TO_TRAIN = "Train a model with: xpmlp train DATA"
LONGEST_HEADER = 100_000_000  # what safetensors itself allows


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Read all that a safetensors file holds, as text and NumPy arrays."""
    # os.path's questions, unlike Path's, answer no to a name that no file can have.
    if os.path.isdir(path):
        inside = path / "model.safetensors"
        hint = f"Did you mean {inside}?" if inside.is_file() else "Give the path of a model.safetensors."
        raise ModelFileError(f"{path}: is a folder, not a model file. {hint}")
    if not os.path.exists(path):
        raise ModelFileError(f"{path}: there is no such file. {HOW_TO_TRAIN}")
    if not os.path.isfile(path):
        raise ModelFileError(f"{path}: is not a regular file. Give the path of a model.safetensors.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        # TypeError, ValueError and AttributeError: element types that NumPy does not have.
        reason, remedy = str(error), HOW_TO_TRAIN
        whole = whole_size(path)
        if whole is not None and (size := os.path.getsize(path)) < whole:
            reason = f"it is cut short: {size:,} bytes are there, at least {whole:,} belong to it"
            remedy = "Copy or download it again."
        raise ModelFileError(f"{path}: cannot be read as a model file ({reason}). {remedy}") from error


def whole_size(path: Path) -> int | None:
    """Return how many bytes a safetensors file has when it is whole, by what is there of its header.

    None where that says nothing: it is then of another kind, or damaged otherwise. Of a cut header only its own end is
    known.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LONGEST_HEADER:
                return None
            header = file.read(length)
        if len(header) < length:
            return 8 + length if header.startswith(b"{") else None
        tensors = [entry for name, entry in json.loads(header).items() if name != "__metadata__"]
        return 8 + length + max(int(entry["data_offsets"][1]) for entry in tensors)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None


def parse_model(text: str, tensors: dict[str, Any], version: str = NEWEST) -> Model:
    """Make a model of the JSON and the tensors of a file.

    Raises
    ------
    ModelError
        Naming what is missing, superfluous, of a wrong type, or does not fit.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"its description is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise ModelError("its description is not a JSON object")
    fields = FIELDS if version == "1" else FIELDS | FIELDS_OF_VERSION_2
    if version == "1":
        # What no writer of that version wrote, no reader may take for something.
        values |= {"output_names": [], "table_form": None}
    for name, (is_valid, expected) in fields.items():
        if name not in values:
            raise ModelError(f"its description lacks {name!r}")
        if not is_valid(values[name]):
            raise ModelError(f"{name!r} is {shortened(values[name])}, expected {expected}")
    try:
        form = None if values["image_form"] is None else ImagePreprocessor.from_json(values["image_form"])
        table = None if values["table_form"] is None else TableSchema.from_json(values["table_form"])
        input_scale = float(values["input_scale"])
    except (ValueError, OverflowError) as error:
        raise ModelError(str(error)) from error
    return Model(
        layers=parse_layers(tensors),
        activation=values["activation"],
        loss=values["loss"],
        classes=tuple(values["classes"]),
        input_shape=tuple(values["input_shape"]),
        input_scale=input_scale,
        image_preprocessor=form,
        training=values["training"],
        output_names=tuple(values["output_names"]),
        table_schema=table,
    )


def is_whole_number(value: Any) -> bool:
    """Tell whether JSON's value is a whole number, which True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


FIELDS: dict[str, tuple[Any, str]] = {
    "activation": (lambda value: isinstance(value, str), "a name"),
    "loss": (lambda value: isinstance(value, str), "a name"),
    "classes": (
        lambda value: isinstance(value, list) and all(isinstance(v, str) or is_whole_number(v) for v in value),
        "a list of whole numbers or texts",
    ),
    "input_shape": (
        lambda value: isinstance(value, list) and all(is_whole_number(v) for v in value),
        "a list of whole numbers",
    ),
    "input_scale": (lambda value: is_whole_number(value) or isinstance(value, float), "a number"),
    "image_form": (lambda value: value is None or isinstance(value, dict), "an object or null"),
    "training": (lambda value: isinstance(value, dict), "an object"),
}
FIELDS_OF_VERSION_2: dict[str, tuple[Any, str]] = {
    "output_names": (
        lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
        "a list of texts",
    ),
    "table_form": (lambda value: value is None or isinstance(value, dict), "an object or null"),
}


def shortened(value: Any) -> str:
    """Return a value as an error message can show it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def parse_layers(tensors: dict[str, Any]) -> Layers:
    """Put the tensors of a file in order."""
    expected = {f"layers.{i}.{part}" for i in range((len(tensors) + 1) // 2) for part in ("weight", "bias")}
    # Unknown ones first: with them counted, a file seems to lack others.
    if unknown := sorted(tensors.keys() - expected):
        raise ModelError(f"the tensor {unknown[0]!r} is not known")
    if missing := sorted(expected - tensors.keys()):
        raise ModelError(f"the tensor {missing[0]!r} is missing")
    layers = []
    for index in range(len(tensors) // 2):
        weight, bias = tensors[f"layers.{index}.weight"], tensors[f"layers.{index}.bias"]
        if bias.ndim != 1:
            raise ModelError(f"layer {index}'s bias has shape {bias.shape}, expected (outputs,)")
        layers.append(Layer(weight, bias[None, :]))
    return tuple(layers)
