"""Whatever a name is made of, and whatever the user has set."""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.style
import numpy as np
import pytest

from xpmlp import plots
from xpmlp.errors import MissingDependencyError
from xpmlp.training import EpochRow

TITLE = "digits: 96.94 % of 360 test rows right"
LONG_TITLE = "emnist-a-very-long-data-set-name that-someone-thought-of: 96.94 % of 116,323 test rows right"
CheckMargins = Callable[[bytes], np.ndarray]
CheckTexts = Callable[[Any], None]


def history(epochs: int) -> list[EpochRow]:
    return [
        EpochRow(epoch, 2.0 / epoch, 1.5 / epoch, 1.0 - 0.5 / epoch, 0.1, 1.0, 1.0) for epoch in range(1, epochs + 1)
    ]


def confusion(classes: int) -> np.ndarray:
    counts = np.random.default_rng(0).integers(0, 5, (classes, classes)).astype(np.int64)
    return counts + 1000 * np.eye(classes, dtype=np.int64)


def gallery(rows: int, mistakes: int, *, classes: Sequence[int | str] = (0, 1), title: str) -> bytes:
    truth = np.arange(rows) % len(classes)
    taken = np.where(np.arange(rows) >= rows - mistakes, (truth + 1) % len(classes), truth)
    names = np.asarray(classes)
    images = np.random.default_rng(0).random((rows, 8, 8)).astype(np.float32)
    return plots.draw_gallery(
        images, names[truth], names[taken], np.linspace(0.5, 0.999, rows).astype(np.float32), title
    )


@pytest.mark.parametrize("name", ["$x_$ \\frac$", "50% & more #1 {x}"])
def test_names_are_drawn_as_they_are(drawn: list[Any], name: str, check_margins: CheckMargins) -> None:
    title = f"{name}: 96.94 % of 360 test rows right"
    check_margins(plots.draw_curves(history(3), title))
    check_margins(plots.draw_confusion(confusion(2), [name, "b"], title))
    check_margins(gallery(10, 3, classes=[name, "b"], title=title))
    assert [figure.get_suptitle().replace("\n", " ") for figure in drawn] == [title.replace("\n", " ")] * 3


def test_characters_that_the_font_lacks_raise_no_warning(check_margins: CheckMargins) -> None:
    """They are drawn as boxes."""
    for png in (plots.draw_curves(history(3), "🚀 数字"), gallery(10, 3, classes=["🚀", "数"], title="🚀 数字")):
        check_margins(png)
    check_margins(plots.draw_confusion(confusion(2), ["🚀 数字", "数"], "🚀 数字"))


def test_a_long_title_goes_over_several_lines(drawn: list[Any], check_texts_apart: CheckTexts) -> None:
    plots.draw_curves(history(3), LONG_TITLE)
    plots.draw_confusion(confusion(2), [0, 1], LONG_TITLE)
    gallery(10, 3, title=LONG_TITLE)
    for figure in drawn:
        assert figure.get_suptitle().replace("\n", " ").replace("- ", "-") == LONG_TITLE
        check_texts_apart(figure)


def test_the_users_own_style_changes_nothing() -> None:
    """It may ask for LaTeX, which takes seconds and stumbles over %."""
    plain = plots.draw_curves(history(3), TITLE)
    with matplotlib.style.context({"text.usetex": True, "font.size": 30, "axes.facecolor": "black"}):
        assert plots.draw_curves(history(3), TITLE) == plain
        assert matplotlib.rcParams["font.size"] == 30
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert plots.draw_curves(history(3), TITLE) == plain


@pytest.mark.parametrize("missing", ["matplotlib.style", "matplotlib.figure"])
def test_without_matplotlib_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r'Drawing pictures needs matplotlib.*pip install "xpmlp\[cli\]"'):
        plots.draw_curves(history(3), TITLE)
