"""What exported files predict for raw values, compared with `predict`: ONNX graphs and Python files."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine

import xpmlp
from xpmlp.export import to_onnx, to_script
from xpmlp.nn.tree import tree_map


def days_since_1970(text: str) -> float:
    return datetime.strptime(f"{text} +0000", "%d/%m/%Y %H:%M %z").timestamp() / 86400


def run_graph(model: Any, data: Any) -> dict[str, Any]:
    """Run an ONNX graph on an array, or on a table's columns, which its metadata names."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = onnxruntime.InferenceSession(to_onnx(model), providers=["CPUExecutionProvider"])
    feeds = {"input": data}
    if isinstance(data, dict):
        about = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
        numbers = dict(data)
        for name in about.get("xpmlp.dates", ()):
            numbers[name] = [None if cell is None else days_since_1970(cell) for cell in data[name]]
        feeds = {"numbers": np.array([numbers[name] for name in about["xpmlp.numbers"]], np.float64).T}
        if about["xpmlp.categories"]:
            texts = [["" if cell is None else cell for cell in data[name]] for name in about["xpmlp.categories"]]
            feeds["categories"] = np.array(texts, object).T
        else:
            feeds = {"input": feeds["numbers"]}
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, feeds), strict=True))


def run_script(model: Any, data: Any) -> dict[str, Any]:
    """Run the functions of a Python file."""
    network: dict[str, Any] = {"__name__": "network"}
    exec(compile(to_script(model), "network.py", "exec"), network)
    if not model.classes:
        return {"prediction": network["predict"](data)}
    return {"label": network["predict"](data), "probabilities": network["predict_probabilities"](data)}


@pytest.fixture(params=[run_graph, run_script])
def run(request: pytest.FixtureRequest) -> Any:
    """Each kind of exported file in turn."""
    return request.param


def assert_agrees(found: dict[str, Any], expected: Any, rtol: float = 0.0, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, rtol=rtol, atol=atol)
    np.testing.assert_array_equal(found["label"], expected.labels)


def test_every_kind_of_network_predicts_what_predict_does(run: Any, any_model: Any, model_dtype: str) -> None:
    x = np.random.default_rng(1).standard_normal((500, 6)).astype(model_dtype)
    found, expected = run(any_model, x), xpmlp.predict(any_model, x, prepared=True)
    # float32 has 24 bits; numbers, unlike probabilities, can exceed 1.
    rtol, atol = (2e-6, 1e-6) if model_dtype == "float32" else (1e-12, 1e-12)
    if any_model.classes:
        assert set(found) == {"label", "probabilities"}
        assert found["probabilities"].dtype == model_dtype
        assert_agrees(found, expected, rtol, atol)
    else:
        assert set(found) == {"prediction"}
        np.testing.assert_allclose(found["prediction"].reshape(expected.labels.shape), expected.labels, rtol, atol)


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_raw_pixels_of_any_number_of_rows_are_scaled_inside(run: Any, make_model: Any, rows: int) -> None:
    model = make_model(input_shape=(4, 5), input_scale=255.0)
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 4, 5)).astype(np.float32)
    assert_agrees(run(model, pixels), xpmlp.predict(model, pixels.reshape(rows, 20) / 255, prepared=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "dtype", "tolerance"),
    # In float32, the graph and `predict` are each up to 2e-6 off the predictions in float64.
    [("notebook", "float64", 1e-12), ("default", "float32", 4e-6)],
)
def test_ten_thousand_images_of_mnist_get_the_same_labels(
    run: Any, mnist: Any, recipe: str, dtype: Any, tolerance: float
) -> None:
    model, _ = xpmlp.train(mnist, replace(xpmlp.RECIPES[recipe], epochs=1, dtype=dtype))
    pixels = np.round(mnist.test.x * 255).astype(np.float32).reshape(-1, 28, 28)
    assert len(pixels) == 10_000
    assert_agrees(run(model, pixels), xpmlp.predict(model, mnist.test), atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore")  # of categories that training did not have, and missing values
def test_a_tables_columns_are_prepared_inside(
    run: Any, table_model: Any, mixed_table: dict[str, list[Any]], dtype: str
) -> None:
    model = replace(table_model, layers=tree_map(lambda array: array.astype(dtype), table_model.layers))
    assert_agrees(run(model, mixed_table), xpmlp.predict(model, mixed_table))


def test_a_table_of_numbers_alone_is_one_input(run: Any) -> None:
    model, _ = xpmlp.train("wine", recipe=xpmlp.Recipe(hidden_layer_sizes=(8,), epochs=3))
    assert model.table_schema is not None
    table = dict(zip((column.name for column in model.table_schema.columns), load_wine().data.T, strict=True))
    assert_agrees(run(model, table), xpmlp.predict(model, table))
