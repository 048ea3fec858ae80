"""The multilayer perceptron for every array library.

>>> import xpmlp
>>> model, result = xpmlp.train("digits", verbose=False)
>>> xpmlp.evaluate(model, "digits").accuracy > 0.96
True
>>> digits = xpmlp.load_dataset("digits")
>>> xpmlp.predict(model, digits.test).labels[:3].tolist() == digits.test.labels[:3].tolist()
True
"""

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets import Dataset, Split, load_dataset
    from .errors import XpmlpError
    from .estimators import MLPClassifier, MLPRegressor
    from .model.model import Model
    from .model.model_file import load_model, save_model
    from .training import RECIPES, Recipe, evaluate, predict, train
    from .training.sweep import sweep

    __version__: str
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
    "sweep",
    "train",
]

# Each public name is imported on first use: `xpmlp --help` then needs no NumPy, and `import xpmlp` no scikit-learn.
_MODULES = {
    "Dataset": "datasets",
    "MLPClassifier": "estimators",
    "MLPRegressor": "estimators",
    "Model": "model.model",
    "Split": "datasets",
    "XpmlpError": "errors",
    "load_dataset": "datasets",
    "load_model": "model.model_file",
    "save_model": "model.model_file",
    "sweep": "training.sweep",
}

# Documented parts of the package, imported on first use, too.
_PARTS = ("backends", "datasets", "estimators", "export", "nn", "plots", "training")

if not TYPE_CHECKING:

    def __dir__() -> list[str]:
        return sorted([*__all__, *_PARTS])

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            metadata = importlib.import_module("importlib.metadata")
            try:
                value = metadata.version("xpmlp")
            except metadata.PackageNotFoundError:  # a checkout on PYTHONPATH, not installed
                value = "0+unknown"
        elif name in __all__:
            module = importlib.import_module(f".{_MODULES.get(name, 'training')}", __name__)
            value = getattr(module, "evaluate" if name == "report" else name)  # its name in earlier versions
        elif not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
            value = importlib.import_module(f".{name}", __name__)  # a room, such as xpmlp.training
        else:
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
            )  # with which Python suggests similar names
        globals()[name] = value
        return value
