"""Pictures do not depend on the characters of a name or the user's style."""

import sys
from typing import Any

import matplotlib.style
import numpy as np
import pytest

from xpmlp import plots
from xpmlp.errors import MissingDependencyError
from xpmlp.training import EpochRow

TITLE = "digits: 96.94 % of 360 test rows right"
HISTORY = [EpochRow(epoch, 2.0 / epoch, 1.5 / epoch, 1.0 - 0.5 / epoch, 0.1, 1.0, 1.0) for epoch in (1, 2, 3)]
LONG = "emnist-a-very-long-data-set-name that-someone-thought-of-and-that-goes-over-several-lines"
NAMES = ["$x_$ \\frac$", "50% & more #1 {x}", "🚀 数字", LONG]


def test_names_of_any_characters_are_drawn_without_a_warning(drawn: list[Any]) -> None:
    titles = [f"{name}: 96.94 % of 360 test rows right" for name in NAMES]
    for title in titles:
        plots.draw_curves(HISTORY, title)
    assert [figure.get_suptitle().replace("\n", " ").replace("- ", "-") for figure in drawn] == titles
    plots.draw_confusion(np.full((4, 4), 30), NAMES, TITLE)
    labels = np.array(NAMES * 3)
    predicted = np.concatenate([labels[:7], labels[6:11]])  # seven are right, five are not
    images = np.random.default_rng(0).random((12, 8, 8)).astype(np.float32)
    plots.draw_gallery(images, labels, predicted, np.full(12, 0.5, np.float32), TITLE)


def test_the_users_own_style_changes_nothing() -> None:
    """It may ask for LaTeX, which takes seconds and fails on %."""
    plain = plots.draw_curves(HISTORY, TITLE)
    with matplotlib.style.context({"text.usetex": True, "font.size": 30, "axes.facecolor": "black"}):
        assert plots.draw_curves(HISTORY, TITLE) == plain
        assert matplotlib.rcParams["font.size"] == 30


@pytest.mark.parametrize("missing", ["matplotlib.style", "matplotlib.figure"])
def test_without_matplotlib_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r'Drawing pictures needs matplotlib.*pip install "xpmlp\[cli\]"'):
        plots.draw_curves(HISTORY, TITLE)
