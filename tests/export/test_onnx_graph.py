"""ONNX Runtime, which is not ours, runs the graphs, and is compared with `predict`."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpmlp
from xpmlp.errors import DataError, MissingDependencyError
from xpmlp.export import onnx_graph, to_onnx
from xpmlp.nn.layers import Layer

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

MakeModel = Callable[..., Any]


def run(content: bytes, **feeds: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def operators(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


@pytest.mark.parametrize("hidden", [(), (5,), (8, 3), (4, 9, 6)], ids=lambda hidden: f"depth{len(hidden)}")
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize(
    ("loss", "classes", "outputs"),
    [
        ("softmax_cross_entropy", ("a", "b", "c", "ü"), None),
        ("logistic_cross_entropy", (3, 5), 1),
        ("logistic_cross_entropy", ("x", "y", "z"), None),
        ("squared_error", (), 2),
        ("poisson", (), 1),
    ],
    ids=["multiclass", "binary", "multilabel", "regression", "poisson"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kind_of_network_says_what_predict_says(
    make_model: MakeModel,
    hidden: tuple[int, ...],
    activation: str,
    loss: str,
    classes: tuple[int | str, ...],
    outputs: int | None,
    dtype: str,
) -> None:
    model = make_model(
        hidden=hidden, activation=activation, loss=loss, classes=classes, outputs=outputs, dtype=dtype, spread=0.4
    )
    x = np.random.default_rng(1).standard_normal((500, 6)).astype(dtype)
    said = run(to_onnx(model), input=x)
    expected = xpmlp.predict(model, x)
    # float32 has 24 bits; numbers, unlike probabilities, may be larger than 1.
    tolerance: dict[str, Any] = {"rtol": 2e-6, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    if classes:
        assert set(said) == {"label", "probabilities"}
        assert said["probabilities"].dtype == dtype
        np.testing.assert_allclose(said["probabilities"], expected.probabilities, **tolerance)
        np.testing.assert_array_equal(said["label"], expected.labels)
    else:
        assert set(said) == {"prediction"}
        assert said["prediction"].shape == (500, outputs)
        np.testing.assert_allclose(said["prediction"].reshape(expected.labels.shape), expected.labels, **tolerance)


def test_the_graph_is_as_plain_as_can_be(make_model: MakeModel) -> None:
    model = make_model(hidden=(5, 4), activation="relu", input_shape=(2, 3), input_scale=255.0)
    content = to_onnx(model)
    assert operators(content) == [
        "Flatten",
        "Div",
        "Gemm",
        "Relu",
        "Gemm",
        "Relu",
        "Gemm",
        "Softmax",
        "ArgMax",
        "Gather",
    ]
    names = {constant.name for constant in onnx.load_from_string(content).graph.initializer}
    assert {"layers.0.weight", "layers.2.bias", "input_scale", "classes"} <= names


def test_raw_pixels_are_scaled_inside(make_model: MakeModel) -> None:
    model = make_model(input_shape=(4, 5), input_scale=255.0, spread=0.2)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 4, 5))
    said = run(to_onnx(model), input=pixels.astype(np.float32))
    expected = xpmlp.predict(model, (pixels.reshape(300, 20) / 255).astype(np.float32))
    np.testing.assert_allclose(said["probabilities"], expected.probabilities, atol=1e-6)
    np.testing.assert_array_equal(said["label"], expected.labels)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows_will_do(make_model: MakeModel, rows: int) -> None:
    said = run(to_onnx(make_model()), input=np.zeros((rows, 6), np.float32))
    assert said["label"].shape == (rows,)
    assert said["probabilities"].shape == (rows, 3)


def test_digits_are_read_as_predict_reads_them() -> None:
    digits = xpmlp.load_dataset("digits")
    model, _ = xpmlp.train(digits, xpmlp.Recipe(epochs=3))
    said = run(to_onnx(model), input=(digits.test.x * 16).reshape(-1, 8, 8))
    expected = xpmlp.predict(model, digits.test.x)
    np.testing.assert_allclose(said["probabilities"], expected.probabilities, atol=1e-6)
    np.testing.assert_array_equal(said["label"], expected.labels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "dtype", "tolerance"),
    [
        ("notebook", "float64", 1e-12),
        # In float32 `predict` itself is up to 2e-6 off what it says in float64, and so is the graph.
        ("default", "float32", 4e-6),
        ("notebook", "float32", 4e-6),
    ],
)
def test_ten_thousand_images_of_mnist_get_the_same_labels(
    mnist_dir: Path, recipe: str, dtype: str, tolerance: float
) -> None:
    mnist = xpmlp.load_dataset("mnist", mnist_dir)
    model, _ = xpmlp.train(mnist, replace(xpmlp.RECIPES[recipe], epochs=1, dtype=dtype))
    pixels = np.round(mnist.test.x * 255).astype(np.uint8).reshape(-1, 28, 28)
    said = run(to_onnx(model), input=pixels.astype(np.float32))
    expected = xpmlp.predict(model, mnist.test.x)
    assert len(pixels) == 10_000
    np.testing.assert_allclose(said["probabilities"], expected.probabilities, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(said["label"], expected.labels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tables_columns_are_prepared_inside(
    make_model: MakeModel, mixed_form: Any, mixed_table: dict[str, list[Any]], prepared: Callable[..., Any], dtype: str
) -> None:
    model = make_model(input_shape=(9,), table_schema=mixed_form, dtype=dtype)
    columns = [mixed_table["height"], mixed_table["smokes"], mixed_table["weight ''' \\kg"]]
    numbers = np.array(columns, np.float64).T
    texts = [["" if cell is None else cell for cell in mixed_table[name]] for name in ("color", "grade")]
    said = run(to_onnx(model), numbers=numbers, categories=np.array(texts, object).T)
    expected = xpmlp.predict(model, prepared(mixed_table, mixed_form))
    np.testing.assert_allclose(said["probabilities"], expected.probabilities, atol=1e-6)
    np.testing.assert_array_equal(said["label"], expected.labels)


def test_a_table_of_numbers_alone_is_one_input() -> None:
    wine = xpmlp.load_dataset("wine")
    model, _ = xpmlp.train(wine, xpmlp.Recipe(hidden_layer_sizes=(8,), epochs=3))
    from sklearn.datasets import load_wine

    said = run(to_onnx(model), input=load_wine().data)
    assert wine.table_schema is not None
    scaled = [
        (values - column.offset) / column.scale
        for column, values in zip(wine.table_schema.columns, load_wine().data.T, strict=True)
    ]
    expected = xpmlp.predict(model, np.array(scaled).T.astype(np.float32))
    np.testing.assert_allclose(said["probabilities"], expected.probabilities, atol=1e-6)
    np.testing.assert_array_equal(said["label"], expected.labels)


def test_a_missing_number_that_nothing_stands_for_leads_to_no_answer(make_model: MakeModel, mixed_form: Any) -> None:
    content = to_onnx(make_model(input_shape=(9,), table_schema=mixed_form))
    said = run(content, numbers=np.array([[180.0, 1.0, np.nan]]), categories=np.array([["red", "1"]], object))
    assert np.isnan(said["probabilities"]).all()


def test_a_table_of_pixels_is_taken_as_images(make_model: MakeModel) -> None:
    from xpmlp.model.table_schema import Column, TableSchema

    form = TableSchema(tuple(Column(f"pixel{index}", "number", scale=255.0) for index in range(64)), "label")
    model = make_model(input_shape=(8, 8), input_scale=255.0, table_schema=form)
    (taken,) = onnxruntime.InferenceSession(to_onnx(model)).get_inputs()
    assert (taken.name, taken.shape, taken.type) == ("input", ["rows", 8, 8], "tensor(float)")


@pytest.mark.parametrize("classes", [(1, "one"), (2**70, 0), ("", "ä\N{GRINNING FACE}")])
def test_classes_that_no_type_holds_are_texts(make_model: MakeModel, classes: tuple[int | str, ...]) -> None:
    model = make_model(classes=classes)
    x = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    labels = run(to_onnx(model), input=x)["label"].tolist()
    assert labels == [str(label) for label in xpmlp.predict(model, x).labels.tolist()]
    assert set(labels) == {str(label) for label in classes}


def test_the_file_says_what_goes_in_and_what_comes_out(make_model: MakeModel, mixed_form: Any) -> None:
    proto = onnx.load_from_string(to_onnx(make_model(input_shape=(9,), table_schema=mixed_form)))
    said = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert said == {
        "xpmlp.task": "multiclass",
        "xpmlp.classes": [0, 1, 2],
        "xpmlp.numbers": ["height", "smokes", "weight ''' \\kg"],
        "xpmlp.categories": {"color": ["blue", "red", "green"], "grade": ["1", "2", "3"]},
    }
    # What onnxruntime-web runs: operator sets and a format of some years ago.
    assert {opset.domain: opset.version for opset in proto.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert proto.ir_version == 8


def test_the_same_model_is_the_same_file(make_model: MakeModel) -> None:
    assert to_onnx(make_model()) == to_onnx(make_model())


def test_weights_beyond_the_formats_limit_are_refused(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="Python file"):
        to_onnx(make_model())


def test_without_onnx_the_remedy_is_said(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r'needs onnx.*pip install "xpmlp\[onnx\]"'):
        to_onnx(make_model())


def test_weights_are_not_transposed_or_mixed_up() -> None:
    """A network whose answer is known by hand."""
    layers = (Layer(np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([[0.5, -1.0]], np.float32)),)
    model = xpmlp.Model(layers, "relu", "squared_error", (), (2,), 10.0, output_names=("a", "b"))
    said = run(to_onnx(model), input=np.array([[10.0, 20.0]], np.float32))
    assert said["prediction"].tolist() == [[1.5, 3.0]]
