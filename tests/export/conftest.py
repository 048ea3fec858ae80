"""Networks of every kind, and tables prepared as in training."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

# xpmlp is imported where it is used: pytest loads this file before jaxtyping's check of the package is in place.


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """A function that makes a network of random weights."""
    from xpmlp import Model
    from xpmlp.nn.layers import Layer

    def make(
        *,
        hidden: tuple[int, ...] = (7,),
        activation: str = "tanh",
        loss: str = "softmax_cross_entropy",
        classes: tuple[int | str, ...] = (0, 1, 2),
        outputs: int | None = None,
        input_shape: tuple[int, ...] = (6,),
        dtype: str = "float32",
        spread: float = 1.0,
        **others: Any,
    ) -> Any:
        rng = np.random.default_rng(len(hidden))
        outputs = outputs or len(classes) or 2
        layers = tuple(
            Layer((spread * rng.standard_normal(shape)).astype(dtype), rng.standard_normal((1, shape[1])).astype(dtype))
            for shape in itertools.pairwise((int(np.prod(input_shape)), *hidden, outputs))
        )
        names = () if classes else tuple(f"y{index}" for index in range(outputs))
        values: dict[str, Any] = {"input_scale": 1.0, "output_names": names} | others
        return Model(layers, activation, loss, classes, input_shape, **values)

    return make


KINDS = ("hidden", "activation", "loss", "classes", "outputs")
MODELS: dict[str, tuple[Any, ...]] = {
    "multiclass": ((), "identity", "softmax_cross_entropy", ("a", "b", "c", "ü"), None),
    "binary": ((5,), "logistic", "logistic_cross_entropy", (3, 5), 1),
    "multilabel": ((8, 3), "tanh", "logistic_cross_entropy", ("x", "y", "z"), None),
    "regression": ((4, 9, 6), "relu", "squared_error", (), 2),
    "selu and mish": ((5, 4), "selu,mish", "huber:2.0", (), 1),
    "quantiles": ((5, 4), "elu,gelu", "quantile:0.1,0.5,0.9", (), 6),
    "bounded": ((5, 4, 4), "leaky_relu,silu,softplus", "squared_error of logistic", (), 2),
    "amounts": ((5,), "softplus", "gamma", (), 1),
    "counts": ((5,), "tanh", "poisson", (), 1),
}


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*MODELS, *(f"ensemble: {name}" for name in MODELS)])
def any_model(request: pytest.FixtureRequest, make_model: Callable[..., Any], dtype: str) -> Any:
    """Networks of every kind of output and activation, 0 to 3 hidden layers, and ensembles, in either precision."""
    settings = zip(KINDS, MODELS[request.param.removeprefix("ensemble: ")], strict=True)
    model = make_model(dtype=dtype, spread=0.4, **dict(settings))
    return as_ensemble(model) if request.param.startswith("ensemble: ") else model


def as_ensemble(model: Any) -> Any:
    """Return an ensemble of the model and two more, which predict something else."""
    from xpmlp.nn.layers import Layer

    layers = (Layer(*(np.stack([array, -array, array[::-1]]) for array in layer)) for layer in model.layers)
    return replace(model, layers=tuple(layers))


PARTS: Any = (
    ("year", 1990.0, 12.0),
    ("month", 6.0, 3.5),
    ("day", 15.0, 9.0),
    ("weekday", 4.0, 2.0),
    ("hour", 12.0, 7.0),
    ("elapsed", 9000.0, 4000.0),
)


@pytest.fixture(scope="session")
def mixed_schema() -> Any:
    """A table with everything: columns of every kind, interleaved, some with a fill for missing values."""
    from xpmlp.model.table_schema import Column, TableSchema

    return TableSchema(
        (
            Column("height", "number", fill=1.5, offset=170.0, scale=9.5),
            Column("color", "category", ("blue", "red", "green"), fill="red"),
            Column("smokes", "boolean", fill=0.0),
            Column("grade", "category", ("1", "2", "3")),
            Column("weight ''' \\kg", "number", offset=0.0, scale=1.0),
            Column("age", "number", fill=30.0, offset=40.0, scale=8.0, indicator=True),
            Column("town", "category", ("Bern", "infrequent", "missing"), fill="missing", infrequent="infrequent"),
            Column("born", "date", fill=9862.0, parts=PARTS, latest=20000.0, format="%d/%m/%Y %H:%M", indicator=True),
        ),
        target="y",
        missing="auto",
    )


@pytest.fixture(scope="session")
def table_model(make_model: Callable[..., Any], mixed_schema: Any) -> Any:
    """A network that takes such a table."""
    return make_model(input_shape=(21,), table_schema=mixed_schema)


@pytest.fixture(scope="session")
def mixed_table() -> dict[str, list[Any]]:
    """Rows of such a table: known, missing and unknown categories, missing numbers."""
    return {
        "height": [180.25, None, 165.0, 171.5, 1e7],
        "color": ["red", "blue", None, "violet", "green"],
        "smokes": [True, False, None, False, True],
        "grade": ["1", "2", "3", "4", "1"],
        "weight ''' \\kg": [80.1, 70.2, 60.3, 50.4, 40.5],
        "age": [31.0, None, 12.5, None, 88.0],
        "town": ["Bern", "Chur", None, "Basel", "Bern"],
        "born": ["29/02/2000 23:59", None, "1/3/1900 00:00", "31/12/1969 6:30", "15/08/2031 12:00"],
    }


@pytest.fixture(scope="session")
def prepared(mixed_table: dict[str, list[Any]], mixed_schema: Any) -> Any:
    """These rows as the network's inputs, prepared as for training, through Polars."""
    import polars as pl

    from xpmlp.datasets.tables.loading import rows_to_predict
    from xpmlp.datasets.tables.table import Table

    return rows_to_predict(Table.of("table", pl.DataFrame(mixed_table)), mixed_schema).x
