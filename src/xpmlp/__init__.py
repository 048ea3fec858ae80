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

from .datasets import Dataset, Split, load_dataset
from .errors import XpmlpError
from .model import Model
from .model_file import load_model, save_model
from .training import RECIPES, Recipe, predict, report, train

__version__ = version("xpmlp")

__all__ = [
    "RECIPES",
    "Dataset",
    "Model",
    "Recipe",
    "Split",
    "XpmlpError",
    "__version__",
    "load_dataset",
    "load_model",
    "predict",
    "report",
    "save_model",
    "train",
]
