"""Networks of every kind, and what `predict` says of raw values."""

import itertools
from collections.abc import Callable
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
        sizes = (int(np.prod(input_shape)), *hidden, outputs)
        layers = tuple(
            Layer(
                (spread * rng.standard_normal((before, after))).astype(dtype),
                rng.standard_normal((1, after)).astype(dtype),
            )
            for before, after in itertools.pairwise(sizes)
        )
        names = () if classes else tuple(f"y{index}" for index in range(outputs))
        values: dict[str, Any] = {"input_scale": 1.0, "output_names": names}
        return Model(
            layers=layers,
            activation=activation,
            loss=loss,
            classes=classes,
            input_shape=input_shape,
            **(values | others),
        )

    return make


@pytest.fixture(scope="session")
def mixed_form() -> Any:
    """A table with everything: numbers, a boolean, categories; some filled where missing, interleaved."""
    from xpmlp.model.table_schema import Column, TableSchema

    return TableSchema(
        (
            Column("height", "number", fill=1.5, offset=170.0, scale=9.5),
            Column("color", "category", ("blue", "red", "green"), fill="red"),
            Column("smokes", "boolean", fill=0.0),
            Column("grade", "category", ("1", "2", "3")),
            Column("weight ''' \\kg", "number", offset=0.0, scale=1.0),
        ),
        target="y",
        missing="mean",
    )


@pytest.fixture(scope="session")
def mixed_table() -> dict[str, list[Any]]:
    """Rows of such a table: known, missing and unknown categories, missing numbers."""
    return {
        "height": [180.25, None, 165.0, 171.5, 1e7],
        "color": ["red", "blue", None, "violet", "green"],
        "smokes": [True, False, None, False, True],
        "grade": ["1", "2", "3", "4", "1"],
        "weight ''' \\kg": [80.1, 70.2, 60.3, 50.4, 40.5],
    }


@pytest.fixture(scope="session")
def prepared() -> Callable[..., Any]:
    """A function that prepares a table as for training, through Polars."""

    def prepare(table: dict[str, list[Any]], form: Any) -> Any:
        import polars as pl

        from xpmlp.datasets.tables import Table, rows_to_predict

        frame = pl.DataFrame(table)
        return rows_to_predict(Table("table", frame.lazy(), dict(frame.schema), frame.height), form).x

    return prepare
