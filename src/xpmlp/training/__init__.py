"""Training: the loop, what goes into it and what comes out."""

from .callbacks import Callback, EarlyStopping
from .checkpoint import Checkpoint
from .checkpointing import Checkpointing, newest_checkpoint
from .fit import DivergedError, FitError, FitResult, OutOfMemoryError, Run, fit
from .history import EpochRow, history_to_csv
from .prediction import ClassScore, Prediction, RegressionReport, Report, predict, regression_report, report
from .recipes import OPTIMIZERS, RECIPES, Recipe, table_recipe
from .schedules import SCHEDULES, Schedule, constant, warmup_cosine
from .train import default_recipe, fit_dataset, make_model, train

__all__ = [
    "OPTIMIZERS",
    "RECIPES",
    "SCHEDULES",
    "Callback",
    "Checkpoint",
    "Checkpointing",
    "ClassScore",
    "DivergedError",
    "EarlyStopping",
    "EpochRow",
    "FitError",
    "FitResult",
    "OutOfMemoryError",
    "Prediction",
    "Recipe",
    "RegressionReport",
    "Report",
    "Run",
    "Schedule",
    "constant",
    "default_recipe",
    "fit",
    "fit_dataset",
    "history_to_csv",
    "make_model",
    "newest_checkpoint",
    "predict",
    "regression_report",
    "report",
    "table_recipe",
    "train",
    "warmup_cosine",
]
