from typing import Any

import numpy as np
import pytest

from xpmlp import plots


def numbers(rows: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = scale * rng.lognormal(1.0, 1.0, rows)
    return truth, truth * rng.lognormal(0.0, 0.3, rows)


@pytest.mark.parametrize("draw", [plots.draw_predicted, plots.draw_residuals])
@pytest.mark.parametrize(("rows", "scale"), [(1, 1.0), (89, 1e-12), (89, 1e5), (20_000, 1e30)])
def test_numbers_of_any_size_are_drawn_without_overlap(draw: Any, rows: int, scale: float) -> None:
    truth, predicted = numbers(rows, scale)
    draw(truth, predicted, "a column with a name that is rather long", f"{rows} test rows")
    if rows < 100:
        draw(truth, truth, "y", "all equal")


def test_predictions_lie_over_the_truth_beside_the_line_of_equality_and_residuals_over_predictions(
    drawn: list[Any],
) -> None:
    truth, predicted = numbers(50)
    plots.draw_predicted(truth, predicted, "y", "title")
    plots.draw_residuals(truth, predicted, "y", "title")
    (axes,), (residuals, counts) = drawn[0].axes, drawn[1].axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), np.array([truth, predicted]).T)
    line = axes.lines[0].get_xydata()
    np.testing.assert_allclose(line[:, 0], line[:, 1])
    low, high = axes.get_xlim()
    assert axes.get_ylim() == (low, high)
    assert low < min(*truth, *predicted) < max(*truth, *predicted) < high
    np.testing.assert_allclose(residuals.collections[0].get_offsets(), np.array([predicted, predicted - truth]).T)
    assert sum(patch.get_width() for patch in counts.patches) == 50
    assert residuals.get_ylim() == counts.get_ylim()


def test_many_rows_are_counts_in_places(drawn: list[Any]) -> None:
    plots.draw_predicted(*numbers(20_000), "y", "title")
    axes, scale = drawn[0].axes
    assert np.asarray(axes.collections[0].get_array()).sum() == 20_000
    assert scale.get_ylabel() == "test rows"
