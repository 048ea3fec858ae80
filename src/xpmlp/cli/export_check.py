"""Whether an exported model says what the model says."""

from typing import Any

import numpy as np
from jaxtyping import Float

from xpmlp.datasets.tables import Table, rows_to_predict
from xpmlp.datasets.tables.table import import_polars
from xpmlp.export import raw_columns
from xpmlp.export.raw_input import RawColumns
from xpmlp.model.model import Model
from xpmlp.optional_imports import import_optional
from xpmlp.training import predict

SAMPLES = 256


def difference_of_onnx(model: Model, content: bytes) -> float:
    """Return by how much the answers of a graph differ from the model's on made-up samples, at most."""
    onnxruntime = import_optional("onnxruntime", extra="onnx", purpose="Running an ONNX graph")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    columns = raw_columns(model)
    raw: Any = make_array(model) if columns is None else make_table(columns)
    if columns is None:
        dtype = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
        feeds: dict[str, Any] = {"input": raw.astype(dtype)}
    else:
        feeds = {}
        if columns.numbers:
            values = [raw[column.name] for column in columns.numbers]
            feeds["numbers" if columns.categories else "input"] = np.array(values, np.float64).T
        if columns.categories:
            feeds["categories"] = np.array([raw[column.name] for column in columns.categories], object).T
    name = "prediction" if model.task == "regression" else "probabilities"
    (answers,) = session.run([name], feeds)
    return largest_difference(answers, true_answers(model, raw))


def difference_of_script(model: Model, source: str) -> float:
    """Return by how much the answers of a Python file differ from the model's on made-up samples, at most."""
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "exported", "exec"), namespace)
    columns = raw_columns(model)
    raw = make_array(model) if columns is None else make_table(columns)
    answers = namespace["predict" if model.task == "regression" else "predict_probabilities"](raw)
    return largest_difference(answers.reshape(SAMPLES, -1), true_answers(model, raw))


def make_array(model: Model) -> Float[np.ndarray, "rows *shape"]:
    """Return samples of raw values of the size that the model knows: whole numbers where they are scaled."""
    rng = np.random.default_rng(0)
    shape = (SAMPLES, *model.input_shape)
    return rng.standard_normal(shape) if model.input_scale == 1.0 else np.floor(rng.random(shape) * model.input_scale)


def make_table(columns: RawColumns) -> dict[str, Any]:
    """Return columns of raw values of the size that the model knows."""
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {
        column.name: rng.integers(0, 2, SAMPLES).astype(np.float64)
        if column.kind == "boolean"
        else column.offset + column.scale * rng.standard_normal(SAMPLES)
        for column in columns.numbers
    }
    return table | {column.name: rng.choice(column.categories, SAMPLES).tolist() for column in columns.categories}


def true_answers(model: Model, raw: Any) -> Float[np.ndarray, "rows outputs"]:
    """Return what the model itself says of raw values."""
    dtype = model.layers[0].weight.dtype
    if isinstance(raw, dict):
        assert model.table_schema is not None
        frame = import_polars().DataFrame(raw)
        table = Table("samples", frame.lazy(), dict(frame.schema), frame.height)
        x = rows_to_predict(table, model.table_schema).x
    else:
        x = (raw.reshape(SAMPLES, -1) / model.input_scale).astype(np.float32 if model.input_scale != 1.0 else dtype)
    prediction = predict(model, x)
    return prediction.labels.reshape(SAMPLES, -1) if model.task == "regression" else prediction.probabilities


def largest_difference(answers: Any, expected: Float[np.ndarray, "rows outputs"]) -> float:
    """Return the largest difference, relative to the largest answer where that is above 1."""
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(answers.astype(np.float64) - expected.astype(np.float64)).max()) / scale
