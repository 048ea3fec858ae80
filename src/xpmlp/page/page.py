"""Putting the page together: its sources, the model, and what was measured of it."""

import base64
import hashlib
import html
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from string import Template
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Float32

from xpmlp.datasets import TableOptions
from xpmlp.datasets.tables.numbers import MAGNITUDES, MARKERS_AMONG_NUMBERS
from xpmlp.datasets.tables.values import markers
from xpmlp.errors import XpmlpError
from xpmlp.model import Column, Model, TableSchema
from xpmlp.model.table_schema import reading_of

SCRIPTS = (
    *("dom", "arrays", "network", "ink", "resize", "table"),
    *("answer", "pad", "pictures", "rows", "units", "steps", "about", "start"),
)
LARGEST_PAGE = 50_000_000  # bytes; browsers take long to open more


@dataclass(frozen=True, eq=False)
class PageContent:
    """What a page tells besides the network itself.

    Attributes
    ----------
    title, summary
        What the network is for, and how well it does that.
    facts
        Names and values: how and when it was trained.
    history
        An object for each epoch, with the fields of `EpochRow`.
    report
        The evaluation on the test rows, as JSON holds it.
    examples, labels
        Some test rows as the network's inputs, and their classes or numbers.
    training_rows
        The training rows as inputs, for the ranges of a form's sliders.
    """

    title: str
    summary: str = ""
    facts: Sequence[tuple[str, str]] = ()
    history: Sequence[Mapping[str, Any]] = ()
    report: Mapping[str, Any] | None = None
    examples: Float32[np.ndarray, "examples features"] | None = None
    labels: Sequence[Any] = ()
    training_rows: Float32[np.ndarray, "rows features"] | None = None


def to_page(model: Model, content: PageContent, *, small: bool = False) -> bytes:
    """Return an HTML file that shows the network at work.

    It needs nothing else: it makes no request, and its policy forbids any.

    Parameters
    ----------
    small
        Store weights as float16: half the size, and probabilities that differ in the third or fourth digit.

    Raises
    ------
    XpmlpError
        If a page cannot show the model, or would be too large.
    """
    description, arrays = describe(model, content, small=small)
    if small and not all(np.isfinite(array).all() for array in arrays):
        raise XpmlpError("the model has weights that float16 cannot hold. Leave out --small.")
    style, script = source("page.css"), '"use strict";\n' + "\n".join(source(f"{name}.js") for name in SCRIPTS)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{digest(script)}'",
            f"style-src '{digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )
    page = Template(source("page.html")).substitute(
        policy=policy,
        title=html.escape(visible(content.title)),
        version=version("xpmlp"),
        style=style,
        script=script,
        # "<" could end the element. All else that is not ASCII is escaped by json.
        description=json.dumps(description, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        arrays=base64.b64encode(zlib.compress(b"".join(map(to_bytes, arrays)), 9)).decode(),
    )
    result = page.encode()
    if len(result) > LARGEST_PAGE:
        remedy = "Train a smaller network." if small else "Give --small, or train a smaller network."
        raise XpmlpError(
            f"the page would be {len(result) / 1e6:.0f} MB, more than browsers open well "
            f"({LARGEST_PAGE / 1e6:.0f} MB). {remedy}"
        )
    return result


def describe(model: Model, content: PageContent, *, small: bool) -> tuple[dict[str, Any], list[Any]]:
    """Return everything but the arrays as a JSON object, and the arrays: each layer's, then the examples."""
    weights = np.float16 if small else np.float32
    with np.errstate(over="ignore"):
        arrays = [np.concatenate([part.ravel() for part in layer]).astype(weights) for layer in model.layers]
    description: dict[str, Any] = {
        "title": content.title,
        "summary": content.summary,
        "network": {
            "activation": model.activation,
            "loss": model.loss,
            "task": model.task,
            "classes": list(map(str, model.classes)),
            "output_names": model.output_names,
            "layers": [
                dict(zip(("inputs", "outputs"), layer.weight.shape[-2:], strict=True)) for layer in model.layers
            ],
            "members": model.members or 1,
        },
        "facts": list(content.facts),
        "history": [finite(row) for row in content.history],
        "report": finite(content.report or {}),
    }
    labels = content.labels if model.task == "regression" else list(map(str, content.labels))
    description["examples"] = {"labels": labels}
    examples = np.empty((0, model.layer_sizes[0]), np.float32) if content.examples is None else content.examples
    form = model.image_preprocessor
    if form is not None:
        scale = model.input_scale if np.array_equal(from_bytes(examples, model.input_scale), examples) else 255.0
        description["form"] = {name: getattr(form, name) for name in form.__struct_fields__}
        description["examples"]["scale"] = scale
        arrays.append(np.rint(np.clip(examples * scale, 0, 255)).astype(np.uint8))
    else:
        description |= describe_columns(model, content.training_rows)
        arrays.append(examples.astype(np.float32))
    description["arrays"] = [{"type": str(array.dtype), "size": array.size} for array in arrays]
    return description, arrays


def describe_columns(model: Model, rows: Any) -> dict[str, Any]:
    """Return the columns of a table model's form, and the range of each input in training.

    A model of plain arrays gets a column for each input.
    """
    inputs = range(1, model.layer_sizes[0] + 1)
    schema = model.table_schema or TableSchema(
        tuple(Column(f"input {index}", "number", scale=model.input_scale) for index in inputs)
    )
    described, places, formats = [], schema.places, reading_of(schema).formats
    for column in schema.columns:
        values = msgspec.structs.asdict(column) | {"number_format": None}
        if form := formats.get(column.name):
            magnitudes = MAGNITUDES if form.magnitudes else None
            values["number_format"] = msgspec.structs.asdict(form) | {"magnitudes": magnitudes}
        if rows is not None and column.kind == "number":
            raw = rows[:, places[column.name].start] * column.scale + column.offset
            values["whole"] = bool((np.abs(raw - np.rint(raw)) <= 1e-6 * column.scale).all())
        described.append(values)
    ranges = None if rows is None or not len(rows) else np.stack([rows.min(axis=0), rows.max(axis=0)], axis=1).tolist()
    known = {"all": markers(TableOptions.recorded(model.training)), "numbers": MARKERS_AMONG_NUMBERS}
    return {"columns": described, "missing": schema.missing, "markers": known, "ranges": ranges}


def from_bytes(x: Any, scale: float) -> Any:
    """Return inputs as they come out if they are stored as bytes, scaled."""
    return (np.rint(np.clip(x * scale, 0, 255)) / scale).astype(np.float32)


def to_bytes(array: Any) -> bytes:
    """Return an array's content, little-endian; all first bytes of float32, then all second ones: they compress."""
    content: bytes = array.astype(array.dtype.newbyteorder("<")).tobytes()
    if array.dtype != np.float32:
        return content
    return np.frombuffer(content, np.uint8).reshape(-1, 4).T.tobytes()


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without the numbers that JSON does not have, as null."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in values.items()
    }


def visible(text: str) -> str:
    """Return text with its control characters escaped, as in ``\\x1b``."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", lambda found: repr(found[0])[1:-1], text)


def source(name: str) -> str:
    """Return one of the page's sources."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """Return the hash by which a policy admits a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
