"""The multilayer perceptron for every array library.

>>> import xpmlp
>>> digits = xpmlp.load_dataset("digits")
>>> model, result = xpmlp.train(digits)
>>> result.history[-1].test_accuracy > 0.96
True
>>> xpmlp.predict(model, digits.test.x[:3]).labels.tolist() == digits.test.labels[:3].tolist()
True
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from xpmlp.model.model import Model
from xpmlp.model.model_file import load_model, save_model

from .datasets import Dataset, Split, load_dataset
from .errors import XpmlpError
from .training import RECIPES, Recipe, evaluate, predict, train

if TYPE_CHECKING:
    from .estimators import MLPClassifier, MLPRegressor

__version__ = version("xpmlp")

report = evaluate  # its name in earlier versions

__all__ = [
    "RECIPES",
    "Dataset",
    "MLPClassifier",
    "MLPRegressor",
    "Model",
    "Recipe",
    "Split",
    "XpmlpError",
    "__version__",
    "evaluate",
    "load_dataset",
    "load_model",
    "predict",
    "report",
    "save_model",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import the estimators when they are asked for: scikit-learn takes longer to import than all else here."""
    if name in ("MLPClassifier", "MLPRegressor"):
        from . import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
