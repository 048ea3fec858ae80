"""Permutation importance: how much worse a model is on a table if one column is shuffled."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from xpmlp.backends import Backend
from xpmlp.datasets import Split
from xpmlp.errors import DataError, SettingsError
from xpmlp.model.model import Model
from xpmlp.plots import Picture, draw_importances

from .evaluation import evaluate
from .inputs import as_backend, labelled_split

MOST_ROWS = 10_000  # more hardly change the result, and take longer


class ColumnImportance(NamedTuple):
    """How much the score falls if a column is shuffled: the mean of the repeats, and their standard deviation."""

    column: str
    mean: float
    deviation: float


class Importances(NamedTuple):
    """The importance of each column, the largest first.

    Attributes
    ----------
    metric
        ``"accuracy"``, or ``"R²"`` for regression.
    score
        Of the model on the rows as they are.
    """

    metric: str
    score: float
    rows: int
    columns: tuple[ColumnImportance, ...]

    def plot(self, title: str = "") -> Picture:
        """Draw them; see `xpmlp.plots.draw_importances`."""
        return draw_importances(*zip(*self.columns, strict=True), metric=self.metric, title=title)


def permutation_importance(
    model: Model,
    data: Any,
    y: Any = None,
    *,
    repeats: int = 10,
    seed: int = 0,
    prepared: bool = False,
    backend: Backend | str | None = None,
) -> Importances:
    """Return how much each column of a table matters to a model (Breiman 2001).

    A column is shuffled in all inputs that it became. Two columns with the same information
    both seem to matter little.

    Parameters
    ----------
    data, y, prepared
        Labelled rows, as for `xpmlp.evaluate`; of more than 10,000, some are drawn.
    repeats
        Times that each column is shuffled.

    Raises
    ------
    DataError
        If the model was not trained on a table, or there are fewer than 2 rows.
    """
    if model.raw_columns is None or model.task not in ("binary", "multiclass", "regression"):
        raise DataError("Importances are for the columns of a table, but the model was not trained on a table.")
    if repeats < 1:
        raise SettingsError(f"repeats: {repeats} is too few; at least 1 is needed.")
    split, backend = labelled_split(model, data, y, prepared=prepared), as_backend(backend)
    if split.rows < 2:
        raise DataError(f"{split.rows} rows are too few to shuffle a column; give 2 or more.")
    generator = np.random.default_rng(seed)
    if split.rows > MOST_ROWS:
        chosen = generator.permutation(split.rows)[:MOST_ROWS]
        split = Split(split.x[chosen], split.labels[chosen])

    def score_of(x: Shaped[np.ndarray, "rows inputs"]) -> float:
        return evaluate(model, Split(x, split.labels), backend=backend, prepared=True).score

    score = score_of(split.x)
    found = []
    for name, inputs in model.raw_columns.places.items():
        falls = []
        x = split.x.copy()
        for _ in range(repeats):
            x[:, inputs] = split.x[generator.permutation(split.rows), inputs]
            falls.append(score - score_of(x))
        found.append(ColumnImportance(name, float(np.mean(falls)), float(np.std(falls))))
    found.sort(key=lambda column: -column.mean)
    metric = "R²" if model.task == "regression" else "accuracy"
    return Importances(metric, score, split.rows, tuple(found))
