"""Packages that only some uses need, imported where they are used."""

import importlib
from typing import Any

from .errors import MissingDependencyError

# Where a package is imported by another name than it is installed by.
DISTRIBUTIONS = {"PIL": "pillow"}


def import_optional(module: str, *, extra: str, purpose: str) -> Any:
    """Import `module`, or say which command installs it.

    Parameters
    ----------
    module
        The module's import name, such as ``"matplotlib.figure"``.
    extra
        The extra of this package that brings it, such as ``"cli"``.
    purpose
        What it is needed for, as the subject of a sentence: ``"Drawing pictures"``.

    Raises
    ------
    MissingDependencyError
        Where the module, or the package that holds it, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Something that the module itself fails to import is a broken installation, not a missing one.
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        package = DISTRIBUTIONS.get(module.split(".")[0], module.split(".")[0])
        message = f'{purpose} needs {package}, which is not installed. Run: pip install "xpmlp[{extra}]"'
        raise MissingDependencyError(message) from error
