"""Training: the loop, what goes into it and what comes out."""

from .callbacks import Callback, EarlyStopping
from .fit import DivergedError, FitError, FitResult, OutOfMemoryError, Run, fit
from .history import EpochRow, history_to_csv
from .prediction import ClassScore, Prediction, Report, predict, report
from .recipes import OPTIMIZERS, RECIPES, Recipe
from .schedules import SCHEDULES, Schedule, constant, warmup_cosine
from .train import fit_dataset, make_model, train

__all__ = [
    "OPTIMIZERS",
    "RECIPES",
    "SCHEDULES",
    "Callback",
    "ClassScore",
    "DivergedError",
    "EarlyStopping",
    "EpochRow",
    "FitError",
    "FitResult",
    "OutOfMemoryError",
    "Prediction",
    "Recipe",
    "Report",
    "Run",
    "Schedule",
    "constant",
    "fit",
    "fit_dataset",
    "history_to_csv",
    "make_model",
    "predict",
    "report",
    "train",
    "warmup_cosine",
]
