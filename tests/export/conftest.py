"""A table with everything, and a network that takes it."""

from typing import Any

import pytest

# xpmlp is imported where it is used: pytest loads this file before jaxtyping's check of the package is in place.

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
def table_model(make_model: Any, mixed_schema: Any) -> Any:
    """A network that takes such a table."""
    return make_model(schema=mixed_schema)


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
