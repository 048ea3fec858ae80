"""Pictures of a run and of what a model recognises, as PNG files in memory."""

from .calibration import draw_calibration
from .comparison import draw_comparison
from .confusion import COUNTS_SHOWN_UP_TO, draw_confusion
from .curves import Epoch, draw_curves
from .gallery import draw_gallery
from .mistakes import draw_mistakes
from .predicted import draw_predicted
from .residuals import draw_residuals
from .style import BLUE, GREEN, GREY, ORANGE, house_style, new_figure, shortened, to_png, wrapped
from .weights import draw_weights

__all__ = [
    "BLUE",
    "COUNTS_SHOWN_UP_TO",
    "GREEN",
    "GREY",
    "ORANGE",
    "Epoch",
    "draw_calibration",
    "draw_comparison",
    "draw_confusion",
    "draw_curves",
    "draw_gallery",
    "draw_mistakes",
    "draw_predicted",
    "draw_residuals",
    "draw_weights",
    "house_style",
    "new_figure",
    "shortened",
    "to_png",
    "wrapped",
]
