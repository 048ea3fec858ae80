"""Training: recipes, the training loop and its callbacks, evaluation and prediction."""

from .baseline import linear_score
from .callbacks import Checkpointing, EarlyStopping
from .checkpoint import Checkpoint, newest_checkpoint
from .cross_validation import cross_validate
from .errors import DivergedError, FitError, OutOfMemoryError
from .evaluation import ClassScore, RegressionReport, Report, evaluate, evaluate_classifier, evaluate_regression
from .fit import fit
from .prediction import Prediction, predict
from .recipes import OPTIMIZERS, RECIPES, Recipe, table_recipe
from .run import Callback, EpochRow, FitResult, Run, history_to_csv
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
    "cross_validate",
    "default_recipe",
    "evaluate",
    "evaluate_classifier",
    "evaluate_regression",
    "fit",
    "fit_dataset",
    "history_to_csv",
    "linear_score",
    "make_model",
    "newest_checkpoint",
    "predict",
    "table_recipe",
    "train",
    "warmup_cosine",
]
