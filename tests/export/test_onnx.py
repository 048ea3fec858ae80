"""The graphs run in ONNX Runtime, compared with `predict`."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpmlp
import xpmlp.export.onnx
from xpmlp.errors import DataError
from xpmlp.export import to_onnx
from xpmlp.model import Column, TableSchema
from xpmlp.nn.layers import Layer

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

MakeModel = Callable[..., Any]


def run(content: bytes, **feeds: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def assert_agrees(found: dict[str, Any], expected: Any, rtol: float = 0.0, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, rtol=rtol, atol=atol)
    np.testing.assert_array_equal(found["label"], expected.labels)


def test_every_kind_of_network_predicts_what_predict_does(any_model: Any, dtype: str) -> None:
    x = np.random.default_rng(1).standard_normal((500, 6)).astype(dtype)
    found, expected = run(to_onnx(any_model), input=x), xpmlp.predict(any_model, x, prepared=True)
    # float32 has 24 bits; numbers, unlike probabilities, can exceed 1.
    tolerance: dict[str, Any] = {"rtol": 2e-6, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    if any_model.classes:
        assert set(found) == {"label", "probabilities"}
        assert found["probabilities"].dtype == dtype
        assert_agrees(found, expected, **tolerance)
    else:
        assert set(found) == {"prediction"}
        assert found["prediction"].shape == (500, len(any_model.output_names))
        np.testing.assert_allclose(found["prediction"].reshape(expected.labels.shape), expected.labels, **tolerance)


def test_the_graph_is_as_plain_as_can_be(make_model: MakeModel) -> None:
    model = make_model(hidden=(5, 4), activation="relu", input_shape=(2, 3), input_scale=255.0)
    graph = onnx.load_from_string(to_onnx(model)).graph
    operators = " ".join(node.op_type for node in graph.node)
    assert operators == "Flatten Div Gemm Relu Gemm Relu Gemm Softmax ArgMax Gather"
    names = {constant.name for constant in graph.initializer}
    assert {"layers.0.weight", "layers.2.bias", "input_scale", "classes"} <= names


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_raw_pixels_of_any_number_of_rows_are_scaled_inside(make_model: MakeModel, rows: int) -> None:
    model = make_model(input_shape=(4, 5), input_scale=255.0, spread=0.2)
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 4, 5))
    found = run(to_onnx(model), input=pixels.astype(np.float32))
    assert_agrees(found, xpmlp.predict(model, (pixels.reshape(rows, 20) / 255).astype(np.float32), prepared=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "dtype", "tolerance"),
    # In float32, the graph and `predict` are each up to 2e-6 off the predictions in float64.
    [("notebook", "float64", 1e-12), ("default", "float32", 4e-6)],
)
def test_ten_thousand_images_of_mnist_get_the_same_labels(
    mnist_dir: Path, recipe: str, dtype: str, tolerance: float
) -> None:
    mnist = xpmlp.load_dataset("mnist", mnist_dir)
    model, _ = xpmlp.train(mnist, replace(xpmlp.RECIPES[recipe], epochs=1, dtype=dtype))
    pixels = np.round(mnist.test.x * 255).astype(np.uint8).reshape(-1, 28, 28)
    found = run(to_onnx(model), input=pixels.astype(np.float32))
    assert len(pixels) == 10_000
    assert_agrees(found, xpmlp.predict(model, mnist.test), atol=tolerance)


def days_since_1970(text: str) -> float:
    return datetime.strptime(f"{text} +0000", "%d/%m/%Y %H:%M %z").timestamp() / 86400


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tables_columns_are_prepared_inside(
    table_model: Any, mixed_table: dict[str, list[Any]], prepared: Any, dtype: Any
) -> None:
    layers = tuple(Layer(layer.weight.astype(dtype), layer.bias.astype(dtype)) for layer in table_model.layers)
    model = replace(table_model, layers=layers)
    columns = [mixed_table[name] for name in ("height", "smokes", "weight ''' \\kg", "age")]
    columns.append([None if cell is None else days_since_1970(cell) for cell in mixed_table["born"]])
    texts = [["" if cell is None else cell for cell in mixed_table[name]] for name in ("color", "grade", "town")]
    found = run(to_onnx(model), numbers=np.array(columns, np.float64).T, categories=np.array(texts, object).T)
    assert_agrees(found, xpmlp.predict(model, prepared, prepared=True))


def test_a_table_of_numbers_alone_is_one_input() -> None:
    from sklearn.datasets import load_wine

    wine = xpmlp.load_dataset("wine")
    model, _ = xpmlp.train(wine, xpmlp.Recipe(hidden_layer_sizes=(8,), epochs=3))
    found = run(to_onnx(model), input=load_wine().data)
    assert wine.table_schema is not None
    scaled = [
        (values - column.offset) / column.scale
        for column, values in zip(wine.table_schema.columns, load_wine().data.T, strict=True)
    ]
    assert_agrees(found, xpmlp.predict(model, np.array(scaled).T.astype(np.float32), prepared=True))


def test_a_missing_number_without_a_fill_gives_nan(table_model: Any) -> None:
    found = run(
        to_onnx(table_model),
        numbers=np.array([[180.0, 1.0, np.nan, 30.0, 0.0]]),
        categories=np.array([["red", "1", "Bern"]], object),
    )
    assert np.isnan(found["probabilities"]).all()


def test_a_table_of_pixels_is_taken_as_images(make_model: MakeModel) -> None:
    schema = TableSchema(tuple(Column(f"pixel{index}", "number", scale=255.0) for index in range(64)), "label")
    model = make_model(input_shape=(8, 8), input_scale=255.0, table_schema=schema)
    (pixels,) = onnxruntime.InferenceSession(to_onnx(model)).get_inputs()
    assert (pixels.name, pixels.shape, pixels.type) == ("input", ["rows", 8, 8], "tensor(float)")


@pytest.mark.parametrize("classes", [(1, "one"), (2**70, 0), ("", "ä\N{GRINNING FACE}")])
def test_classes_that_are_not_all_int64_become_text(make_model: MakeModel, classes: tuple[int | str, ...]) -> None:
    model = make_model(classes=classes)
    x = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    labels = run(to_onnx(model), input=x)["label"].tolist()
    assert labels == [str(label) for label in xpmlp.predict(model, x, prepared=True).labels.tolist()]
    assert set(labels) == {str(label) for label in classes}


def test_the_file_says_what_goes_in_and_what_comes_out(table_model: Any) -> None:
    content = to_onnx(table_model)
    assert content == to_onnx(table_model)  # the same bytes for the same model
    proto = onnx.load_from_string(content)
    found = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert found == {
        "xpmlp.task": "multiclass",
        "xpmlp.classes": [0, 1, 2],
        "xpmlp.numbers": ["height", "smokes", "weight ''' \\kg", "age", "born"],
        "xpmlp.dates": ["born"],
        "xpmlp.categories": {
            "color": ["blue", "red", "green"],
            "grade": ["1", "2", "3"],
            "town": ["Bern", "infrequent", "missing"],
        },
    }
    # What onnxruntime-web runs: operator sets and a format of some years ago.
    assert {opset.domain: opset.version for opset in proto.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert proto.ir_version == 8


def test_weights_beyond_the_formats_limit_are_refused(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xpmlp.export.onnx, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="Python file"):
        to_onnx(make_model())
