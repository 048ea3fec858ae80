"""Optional packages, imported where they are used."""

import importlib
from typing import Any

from .errors import MissingDependencyError

# Packages that are installed under another name than they are imported.
DISTRIBUTIONS = {"PIL": "pillow", "backports": "backports.zstd"}


def import_optional(module: str, *, extra: str, purpose: str) -> Any:
    """Import a module such as ``"matplotlib.figure"``, or raise a `MissingDependencyError` that says how to install it.

    Parameters
    ----------
    extra
        The extra of this package that installs it, such as ``"cli"``.
    purpose
        Its use, as the subject of a sentence: ``"Drawing pictures"``.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # If the module itself fails to import another one, its installation is broken, not missing.
        package = module.partition(".")[0]
        if error.name is None or package != error.name.partition(".")[0]:
            raise
        package = DISTRIBUTIONS.get(package, package)
        message = f'{purpose} needs {package}, which is not installed. Run: pip install "xpmlp[{extra}]"'
        raise MissingDependencyError(message) from error
