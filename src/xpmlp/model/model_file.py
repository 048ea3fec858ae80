"""One safetensors file that holds a model. It is data alone: reading it runs no code.

Its tensors are ``layers.0.weight`` of shape (inputs, outputs), ``layers.0.bias`` of shape (outputs,), and so on; its
metadata are ``format`` (``"xpmlp"``), ``format_version``, and ``model``, a JSON object with everything else.

A file has the lowest version that can hold its model, so that older installations read what they can. Version 1 holds
classifiers with an output for each class. Version 2 adds ``output_names`` and ``table_form``, and with them regression,
two classes on one output, and models of tables. Version 3 adds dates, infrequent categories and marks of missing values
to these, and more activations and losses. Version 4 holds ensembles: weights have the shape
(members, inputs, outputs), and biases (members, outputs). Version 5 holds models of pictures that are resized; its
``image_form`` is a `PictureResizer`.
"""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from xpmlp.errors import ModelFileError, SettingsError, explain_invalid
from xpmlp.nn.layers import Layer, Layers
from xpmlp.whole_files import write_whole

from .image_preprocessor import ImagePreprocessor
from .model import Model, ModelError
from .picture_resizer import PictureResizer
from .table_schema import TableSchema

FORMAT = "xpmlp"
HOW_TO_TRAIN = "Train a model with: xpmlp train DATA"


class Description(msgspec.Struct, rename={"image_preprocessor": "image_form", "table_schema": "table_form"}):
    """The JSON object ``model`` of version 1, with the fields of `Model`."""

    activation: str
    loss: str
    classes: tuple[int | str, ...]
    input_shape: tuple[int, ...]
    input_scale: float
    image_preprocessor: ImagePreprocessor | None
    training: dict[str, Any]


class Description2(Description):
    """The JSON object ``model`` of version 2."""

    output_names: tuple[str, ...]
    table_schema: TableSchema | None


class Description5(Description2):
    """The JSON object ``model`` of version 5."""

    image_preprocessor: PictureResizer  # type: ignore[assignment]


# Activations and losses before version 3.
OLD_NAMES = {"identity", "logistic", "tanh", "relu", "squared_error", "poisson"}
OLD_NAMES |= {"softmax_cross_entropy", "logistic_cross_entropy"}
DESCRIPTIONS = {"1": Description, "2": Description2, "3": Description2, "4": Description2, "5": Description5}
NEWEST = "5"


def save_model(path: str | Path | Model, model: Model | str | Path) -> None:
    """Write a model to a path, whole or not at all; `path` and `model` may be given in either order.

    Raises
    ------
    OutputError
        If the file cannot be written; a previous file is kept.
    """
    if isinstance(path, Model):
        path, model = model, path
    if not isinstance(model, Model) or isinstance(path, Model):
        raise SettingsError(f"model: expected a Model, got {type(model).__name__}. Call save_model(path, model).")
    write_whole(Path(path), model_to_bytes(model))


def model_to_bytes(model: Model) -> bytes:
    """Return the content of a model file: the same bytes for the same model."""
    tensors = {}
    for index, layer in enumerate(model.layers):
        tensors[f"layers.{index}.weight"] = np.ascontiguousarray(layer.weight)
        tensors[f"layers.{index}.bias"] = np.ascontiguousarray(layer.bias[..., 0, :])
    schema = model.table_schema
    needed = {
        "5": isinstance(model.image_preprocessor, PictureResizer),
        "4": model.members is not None,
        "3": not {model.activation, model.loss} <= OLD_NAMES or not (schema is None or schema.is_of_version_2),
        "2": schema is not None or model.task in ("regression", "binary"),
        "1": True,
    }
    version = next(version for version, is_needed in needed.items() if is_needed)
    description = DESCRIPTIONS[version]
    names = zip(description.__struct_encode_fields__, description.__struct_fields__, strict=True)
    values = {key: getattr(model, name) for key, name in names}
    metadata = {"format": FORMAT, "format_version": version, "model": json.dumps(values, default=struct_to_json)}
    return with_sorted_metadata(safetensors.numpy.save(tensors, metadata))


def struct_to_json(value: Any) -> dict[str, Any]:
    """Return a part of a description as an object for JSON, without a ``reading`` of None, which old versions lack."""
    return {key: part for key, part in msgspec.to_builtins(value).items() if (key, part) != ("reading", None)}


def with_sorted_metadata(content: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted by name; safetensors writes them in any order."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def find_model_file(path: Path) -> Path:
    """Return the model file: the path itself, or model.safetensors in that folder."""
    inside = path / "model.safetensors"
    return inside if os.path.isfile(inside) else path


def load_model(path: str | Path) -> Model:
    """Read a model file, or the one in a run's folder, and check that its contents fit together.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of another kind or of a newer version, or contradicts itself.
    """
    path = find_model_file(Path(path))
    metadata, tensors = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: is a safetensors file, but not an xpmlp model. {HOW_TO_TRAIN}")
    version = metadata.get("format_version", "")
    if version not in DESCRIPTIONS:
        if version.isdecimal() and int(version[:9]) > int(NEWEST):
            raise ModelFileError(
                f"{path}: has format version {version}; this installation reads versions up to {NEWEST}. "
                "Run: pip install --upgrade xpmlp"
            )
        raise ModelFileError(f"{path}: has format version {version!r}, expected 1 to {NEWEST}. {HOW_TO_TRAIN}")
    try:
        if "model" not in metadata:
            raise ModelError("its metadata lack 'model', the description of the network")
        return parse_model(metadata["model"], tensors, version)
    except ModelError as error:
        raise ModelFileError(f"{path}: {error}. The file is damaged. {HOW_TO_TRAIN}") from error


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the metadata and the tensors of a safetensors file."""
    # The functions of os.path, unlike those of Path, return False for a name that no file can have.
    if os.path.isdir(path):
        runs = sorted(path.glob("*/model.safetensors"), key=os.path.getmtime)
        hint = f"Did you mean {runs[-1].parent}?" if runs else "Give the folder of a run, or its model.safetensors."
        raise ModelFileError(f"{path}: is a folder without a model. {hint}")
    if not os.path.exists(path):
        raise ModelFileError(f"{path}: no such file. {HOW_TO_TRAIN}")
    if not os.path.isfile(path):
        raise ModelFileError(f"{path}: is not a regular file. Give the path of a model.safetensors.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        # TypeError, ValueError and AttributeError: element types that NumPy does not have.
        remedy = f"Copy or download it again, or give the folder of a run first, then the data. {HOW_TO_TRAIN}"
        if path.name != (name := "model.safetensors") and path.with_name(name).is_file():
            remedy = f"Give the run's folder, {path.parent}."
        raise ModelFileError(f"{path}: cannot be read as a model file ({error}). {remedy}") from error


def parse_model(text: str, tensors: dict[str, Any], version: str) -> Model:
    """Build a model from a file's description and tensors, or raise a `ModelError` that names what is wrong."""
    try:
        # The json module, unlike msgspec's own decoder, reads NaN and lone surrogates, which older files may contain.
        values = json.loads(text)
        description = msgspec.convert(values, DESCRIPTIONS[version])
    except msgspec.ValidationError as error:
        raise ModelError(f"its description is invalid: {explain_invalid(error, values)}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"its description is not JSON ({error})") from error
    return Model(parse_layers(tensors), **msgspec.structs.asdict(description))


def parse_layers(tensors: dict[str, Any]) -> Layers:
    """Return the tensors of a file as layers, in order."""
    expected = {f"layers.{i}.{part}" for i in range((len(tensors) + 1) // 2) for part in ("weight", "bias")}
    # Unknown names first: they count towards the number of layers, so that a file seems to lack others.
    if unknown := sorted(tensors.keys() - expected):
        raise ModelError(f"the tensor {unknown[0]!r} is unknown")
    if missing := sorted(expected - tensors.keys()):
        raise ModelError(f"the tensor {missing[0]!r} is missing")
    layers = []
    for index in range(len(tensors) // 2):
        weight, bias = tensors[f"layers.{index}.weight"], tensors[f"layers.{index}.bias"]
        if bias.shape != (expected_shape := (*weight.shape[:-2], *weight.shape[-1:])):
            raise ModelError(f"layer {index}'s bias has shape {bias.shape}, expected {expected_shape}")
        layers.append(Layer(weight, bias[..., None, :]))
    return tuple(layers)
