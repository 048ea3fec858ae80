"""Where the data lies that a model was trained on, so far as the model says."""

import re
from pathlib import Path

from xpmlp.errors import DataError
from xpmlp.model.model import Model

# What loading says of each kind of data, and what to give to load it again.
NAMED = re.compile(r"the table (?P<name>\w+) that comes with scikit-learn")
TABLE = re.compile(r"the table (?P<path>.+)", re.DOTALL)
MNIST = re.compile(r"MNIST from the folder (?P<path>.+)", re.DOTALL)
PREFIXED = re.compile(r"IDX files (?P<prefix>.+?)-… in the folder (?P<path>.+)", re.DOTALL)
FOLDER = re.compile(r"IDX files in the folder (?P<path>.+)", re.DOTALL)


def recorded_data(model: Model) -> tuple[str, Path | None]:
    """Return the data that a model was trained on, as ``xpmlp train`` was given it, and the folder it was found in.

    Raises
    ------
    DataError
        Where the model does not say, or says what is not there any more.
    """
    name, source = model.training.get("data"), model.training.get("source")
    if not isinstance(name, str) or not isinstance(source, str):
        raise DataError("the model does not say what data it was trained on; name it with --data")
    if name == "digits" and "scikit-learn" in source:
        return "digits", None
    if match := NAMED.fullmatch(source):
        return match["name"], None
    if match := MNIST.fullmatch(source):
        return "mnist", existing(Path(match["path"]))
    if source.startswith("MNIST"):
        return "mnist", None
    if match := PREFIXED.fullmatch(source):
        return str(existing(Path(match["path"])) / match["prefix"]), None
    if match := FOLDER.fullmatch(source) or TABLE.fullmatch(source):
        path = existing(Path(match["path"]))
        # A name goes before a folder of that name.
        return str(path if path.is_absolute() else Path.cwd() / path), None
    raise DataError(f"the model was trained on {source}, which cannot be found again; name it with --data")


def existing(path: Path) -> Path:
    """Refuse a path at which there is nothing any more."""
    path = path.expanduser()
    if not path.exists():
        raise DataError(f"the model was trained on {path}, which is not there; name the data with --data")
    return path
