"""Optional packages, imported where they are used."""

import importlib
from typing import Any

from .errors import MissingDependencyError

# Packages that are installed under another name than they are imported.
DISTRIBUTIONS = {"PIL": "pillow"}


def import_optional(module: str, *, extra: str, purpose: str) -> Any:
    """Import a module, or name the command that installs it.

    Parameters
    ----------
    module
        Its name, such as ``"matplotlib.figure"``.
    extra
        The extra of this package that installs it, such as ``"cli"``.
    purpose
        Its use, as the subject of a sentence: ``"Drawing pictures"``.

    Raises
    ------
    MissingDependencyError
        If the module's package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # If the module itself fails to import another one, its installation is broken, not missing.
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        package = DISTRIBUTIONS.get(module.split(".")[0], module.split(".")[0])
        message = f'{purpose} needs {package}, which is not installed. Run: pip install "xpmlp[{extra}]"'
        raise MissingDependencyError(message) from error
