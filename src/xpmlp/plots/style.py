"""What all pictures have in common: their colors, their style, and how they become PNG files in memory."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from xpmlp.optional_imports import import_optional

# Okabe and Ito's colors, which people with any kind of color vision tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#555555"
SEVERAL = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@contextmanager
def house_style() -> Iterator[None]:
    """Draw alike everywhere: whatever style the user has set for other work, and whatever a name is made of."""
    style = import_optional("matplotlib.style", extra="cli", purpose="Drawing pictures")
    # A name is no formula: "$" in it means "$".
    with style.context(["default", {"text.parse_math": False}]), warnings.catch_warnings():
        # What the font lacks is drawn as an empty box.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of that many inches, without touching matplotlib's global state."""
    return import_optional("matplotlib.figure", extra="cli", purpose="Drawing pictures").Figure(
        figsize=(width, height), dpi=120, layout="constrained"
    )


def to_png(figure: Any) -> bytes:
    """Render a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def wrapped(title: str, width: float) -> str:
    """Return a title in as many lines as it takes in a figure of that many inches."""
    return textwrap.fill(title, max(20, int(7.5 * width)))


def shortened(text: str, length: int) -> str:
    """Return a class's name, or its beginning where it is longer than that many characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def mark_epochs(axes: Any, epochs: Sequence[int]) -> None:
    """Draw an axis of epochs, marked at whole numbers, and a light grid behind what is drawn over it."""
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    lighten(axes)


def write_numbers(axis: Any, *, most: int, integer: bool = False) -> None:
    """Write an axis's numbers in full, rather than as multiples of a power that stands in a corner."""
    ticker = import_optional("matplotlib.ticker", extra="cli", purpose="Drawing pictures")
    axis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=integer))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))


def write_powers(axis: Any, *, most: int) -> None:
    """Write the powers of ten along a logarithmic axis as plain numbers; matplotlib's own labels are formulas."""
    ticker = import_optional("matplotlib.ticker", extra="cli", purpose="Drawing pictures")
    axis.set_major_locator(ticker.LogLocator(numticks=most))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(ticker.NullLocator())


def number(value: float, digits: int = 6) -> str:
    """Return a number as a reader takes it in: thousands apart, powers of ten only where it is huge or tiny."""
    if value != 0.0 and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.{min(digits, 3)}g}".replace("-", "−")
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.12g}".replace("-", "−")


def lighten(axes: Any) -> None:
    """Leave of the frame what is needed to read values off, and draw a light grid."""
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
