"""ONNX graphs: their operators, inputs, outputs and metadata; see test_export.py for what they predict."""

import json
from typing import Any

import numpy as np
import pytest

import xpmlp
import xpmlp.export.onnx
from xpmlp.errors import DataError
from xpmlp.export import to_onnx
from xpmlp.model import Column, TableSchema

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_the_graph_is_as_plain_as_can_be(make_model: Any) -> None:
    model = make_model(hidden=(5, 4), activation="relu", input_shape=(2, 3), input_scale=255.0)
    graph = onnx.load_from_string(to_onnx(model)).graph
    operators = " ".join(node.op_type for node in graph.node)
    assert operators == "Flatten Div Gemm Relu Gemm Relu Gemm Softmax ArgMax Gather"
    names = {constant.name for constant in graph.initializer}
    assert {"layers.0.weight", "layers.2.bias", "input_scale", "classes"} <= names


def test_a_missing_number_without_a_fill_gives_nan(table_model: Any) -> None:
    session = onnxruntime.InferenceSession(to_onnx(table_model))
    feeds = {"numbers": np.array([[180.0, 1.0, np.nan, 30.0, 0.0]])}
    feeds["categories"] = np.array([["red", "1", "Bern"]], object)
    assert np.isnan(session.run(["probabilities"], feeds)).all()


def test_a_table_of_pixels_is_taken_as_images(make_model: Any) -> None:
    schema = TableSchema(tuple(Column(f"pixel{index}", "number", scale=255.0) for index in range(64)), "label")
    model = make_model(input_shape=(8, 8), input_scale=255.0, schema=schema)
    (pixels,) = onnxruntime.InferenceSession(to_onnx(model)).get_inputs()
    assert (pixels.name, pixels.shape, pixels.type) == ("input", ["rows", 8, 8], "tensor(float)")


@pytest.mark.parametrize("classes", [(1, "one"), (2**70, 0), ("", "ä\N{GRINNING FACE}")])
def test_classes_that_are_not_all_int64_become_text(make_model: Any, classes: tuple[int | str, ...]) -> None:
    model = make_model(classes=classes)
    x = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    (labels,) = onnxruntime.InferenceSession(to_onnx(model)).run(["label"], {"input": x})
    assert labels.tolist() == [str(label) for label in xpmlp.predict(model, x, prepared=True).labels.tolist()]
    assert set(labels.tolist()) == {str(label) for label in classes}


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


def test_weights_beyond_the_formats_limit_are_refused(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xpmlp.export.onnx, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="Python file"):
        to_onnx(make_model())
