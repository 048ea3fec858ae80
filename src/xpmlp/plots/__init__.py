"""Pictures of a run and of a model's predictions, as PNG files in memory."""

from .classification import draw_calibration, draw_confusion
from .curves import draw_comparison, draw_curves
from .gallery import draw_gallery, draw_mistakes
from .importances import draw_importances
from .regression import draw_predicted, draw_residuals
from .style import BLUE, GREY, SEVERAL, Picture, house_style, new_figure, shortened, to_png
from .sweep import draw_parallel_coordinates, draw_scores_by_setting, draw_trial_curves
from .weights import draw_weights

__all__ = [
    "BLUE",
    "GREY",
    "SEVERAL",
    "Picture",
    "draw_calibration",
    "draw_comparison",
    "draw_confusion",
    "draw_curves",
    "draw_gallery",
    "draw_importances",
    "draw_mistakes",
    "draw_parallel_coordinates",
    "draw_predicted",
    "draw_residuals",
    "draw_scores_by_setting",
    "draw_trial_curves",
    "draw_weights",
    "house_style",
    "new_figure",
    "shortened",
    "to_png",
]
