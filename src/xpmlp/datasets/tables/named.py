"""The tables that come with scikit-learn."""

from collections.abc import Callable
from typing import Any

from .table import Table, import_polars


def iris() -> Any:
    """150 flowers of three species."""
    from sklearn.datasets import load_iris

    return load_iris()


def wine() -> Any:
    """178 wines of three growers."""
    from sklearn.datasets import load_wine

    return load_wine()


def breast_cancer() -> Any:
    """569 tumours, malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer()


def diabetes() -> Any:
    """442 patients and a measure of how their disease went on in a year."""
    from sklearn.datasets import load_diabetes

    return load_diabetes(scaled=False)


NAMED_TABLES: dict[str, Callable[[], Any]] = {
    "iris": iris,
    "wine": wine,
    "breast_cancer": breast_cancer,
    "diabetes": diabetes,
}


def named_table(name: str) -> Table:
    """Return one of the tables of `NAMED_TABLES`, with a column ``target``; classes by their names."""
    polars = import_polars()
    bunch = NAMED_TABLES[name]()
    frame = polars.from_numpy(bunch.data, schema=list(bunch.feature_names))
    classes = bunch.get("target_names")
    target = bunch.target if classes is None else [str(classes[index]) for index in bunch.target]
    frame = frame.with_columns(polars.Series("target", target))
    return Table(name, frame.lazy(), dict(frame.schema), frame.height)
