"""Colors, layout and number formats of all pictures, and their conversion to PNG."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpmlp.optional_imports import import_optional
from xpmlp.whole_files import write_whole

# Okabe and Ito's colors, which people with any kind of color vision can tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#555555"
SEVERAL = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def import_matplotlib(module: str) -> Any:
    """Import a module of matplotlib, such as ``"figure"``."""
    return import_optional(f"matplotlib.{module}", extra="cli", purpose="Drawing pictures")


@contextmanager
def house_style() -> Iterator[None]:
    """Draw the same picture everywhere, whatever style the user has configured and whatever a name contains."""
    # "$" in a name does not start a formula.
    with import_matplotlib("style").context(["default", {"text.parse_math": False}]), warnings.catch_warnings():
        # Characters that the font lacks are drawn as empty boxes.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield


def new_figure(width: float, height: float, title: str = "", layout: str = "constrained") -> Any:
    """Return an empty figure, without touching matplotlib's global state; width and height are in inches.

    Of matplotlib's layout engines, ``"compressed"`` is for axes of fixed aspect ratio.
    """
    figure = import_matplotlib("figure").Figure(figsize=(width, height), dpi=120, layout=layout)
    if title:
        # With a layout engine, the place of the title is the engine's affair.
        place = {"y": 1.0 - 0.1 / height, "va": "top"} if layout == "none" else {}
        figure.suptitle(wrapped(title, width), **place)
    return figure


def margins(figure: Any, left: float, right: float, bottom: float, top: float, **grid: Any) -> dict[str, Any]:
    """Return the grid for axes with these margins in inches; a title is added to the one at the top.

    Known margins spare a layout engine, which measures every text twice and so takes as long as drawing.
    """
    width, height = figure.get_size_inches()
    title = 0.14 + 0.2 * len(figure.get_suptitle().splitlines())
    ends = {"left": left / width, "right": 1.0 - right / width, "bottom": bottom / height}
    return ends | {"top": 1.0 - (top + title) / height} | grid


def add_axes(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    """Add axes at a place in inches."""
    across, high = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / high, width / across, height / high))


class Picture(bytes):
    """The content of a PNG file, which notebooks show."""

    def save(self, path: str | Path) -> None:
        """Write it to a file."""
        write_whole(Path(path), self)

    def _repr_png_(self) -> bytes:
        return bytes(self)

    def __repr__(self) -> str:
        """Return its size."""
        return f"<a picture, PNG of {len(self):,} bytes>"


def to_png(figure: Any) -> Picture:
    """Render a figure."""
    canvas = import_matplotlib("backends.backend_agg").FigureCanvasAgg
    image = import_optional("PIL.Image", extra="cli", purpose="Drawing pictures")
    drawn = canvas(figure)
    drawn.draw()  # once; `savefig` draws everything twice
    pixels = image.frombuffer("RGBA", drawn.get_width_height(), drawn.buffer_rgba(), "raw", "RGBA", 0, 1)
    file = io.BytesIO()
    pixels.convert("RGB").save(file, format="png", compress_level=1)
    return Picture(file.getvalue())


def wrapped(title: str, width: float) -> str:
    """Break a title into lines that fit a figure of this width in inches, after a colon first."""
    room = max(20, int(7.5 * width))
    parts = [line if len(line) <= room else line.replace(": ", ":\n", 1) for line in title.splitlines()]
    return "\n".join(textwrap.fill(line, room) for line in "\n".join(parts).splitlines())


def shortened(text: str, length: int) -> str:
    """Shorten a text to at most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def lighten(axes: Any) -> None:
    """Draw a light grid, and only the left and bottom sides of the frame."""
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def mark_epochs(axes: Any, epochs: Sequence[int]) -> None:
    """Draw an axis of epochs, with ticks at whole numbers."""
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    lighten(axes)


def write_numbers(axis: Any, *, most: int, integer: bool = False) -> None:
    """Label an axis with at most `most` numbers, in full instead of as multiples of a common power."""
    ticker = import_matplotlib("ticker")
    if axis.get_scale() == "log":
        axis.set_major_locator(ticker.LogLocator(numticks=most))
        axis.set_minor_locator(ticker.NullLocator())
    else:
        axis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=integer))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))


def number(value: float, digits: int = 6) -> str:
    """Return a number with thousands separated, and in scientific notation only if it is huge or tiny."""
    if value != 0.0 and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.{min(digits, 3)}g}".replace("-", "−")
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.12g}".replace("-", "−")
