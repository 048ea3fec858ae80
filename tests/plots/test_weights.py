from typing import Any

import numpy as np
import pytest

from xpmlp import plots
from xpmlp.plots.weights import MOST_UNITS


def spans(filled: np.ndarray) -> list[slice]:
    """The runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], filled, [False]]).astype(int)))
    return [slice(start, end) for start, end in edges.reshape(-1, 2).tolist()]


def shown(figure: Any) -> list[np.ndarray]:
    """The images that a picture is put together from, line by line."""
    mosaic = np.ma.filled(figure.axes[0].images[0].get_array().astype(float), np.nan)
    filled = ~np.isnan(mosaic)
    tiles = [
        mosaic[rows, columns]
        for rows in spans(np.asarray(filled.any(axis=1)))
        for columns in spans(np.asarray(filled.any(axis=0)))
    ]
    return [tile for tile in tiles if not np.isnan(tile).all()]


@pytest.mark.parametrize(("shape", "units"), [((8, 8), 1), ((10, 40), 300), ((40, 10), 7), ((64, 1), 300)])
def test_each_units_weights_lie_where_their_pixels_do(drawn: list[Any], shape: tuple[int, int], units: int) -> None:
    weight = np.random.default_rng(0).standard_normal((shape[0] * shape[1], units)).astype(np.float32)
    plots.draw_weights(weight, shape, "digits: 96.94 % of 360 test rows right")
    (figure,) = drawn
    pictures = shown(figure)
    strongest = np.sort(np.argsort(-np.linalg.norm(weight, axis=0))[:MOST_UNITS])
    assert len(pictures) == min(units, MOST_UNITS)
    for picture, unit in zip(pictures, strongest, strict=True):
        np.testing.assert_allclose(picture, weight[:, unit].reshape(shape))
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high


def test_units_that_are_classes_are_named(drawn: list[Any]) -> None:
    names = [f"class {index} with a long name" for index in range(47)]
    weight = np.random.default_rng(0).standard_normal((64, 47)).astype(np.float32)
    plots.draw_weights(weight, (8, 8), "emnist", classes=names)
    written = [text.get_text() for text in drawn[0].axes[0].texts]
    assert len(written) == len(shown(drawn[0])) == 47
    assert written[46] == "class 46 …"
    plots.draw_weights(np.zeros((64, 4), np.float32), (8, 8), "all weights are 0")
