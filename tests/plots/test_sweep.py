"""The trials of a sweep."""

from typing import Any

import numpy as np
import pytest

from xpmlp import plots


@pytest.mark.parametrize(
    ("penalties", "labels"),
    [
        ([0.0, 0.01, 0.1, 0.16, 1.0], ["0", "0.01", "0.1", "0.16", "1"]),  # choices stand side by side
        (np.linspace(0.0, 1.0, 64).tolist(), ["0", "0.25", "0.5", "0.75", "1"]),
    ],
)
def test_choices_stand_side_by_side_and_numbers_of_a_range_at_their_value(
    drawn: list[Any], penalties: list[float], labels: list[str]
) -> None:
    rng = np.random.default_rng(0)
    settings: dict[str, list[Any]] = {
        "penalty": (penalties * 13)[:64],
        "sizes": [(64,), (64, 128)] * 32,
        "name": ["relu"] * 64,
    }
    scores = rng.uniform(90.0, 97.0, 64).tolist()
    title = "a_table_with_a_name_longer_than_those_of_most_tables: 64 trials, best 97.00 %"
    plots.draw_scores_by_setting(settings, scores, 5, "accuracy (%)", title, {"penalty": 0.5})
    plots.draw_parallel_coordinates(settings, scores, 5, "accuracy (%)", title)
    plots.draw_trial_curves([[50.0, score] for score in scores], 5, "accuracy (%)", title)
    axis = drawn[0].axes[0].xaxis
    low, high = axis.get_view_interval()
    assert [tick.label1.get_text() for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high] == labels
    assert drawn[2].get_suptitle().splitlines() == title.replace(": ", ":\n").split("\n")
