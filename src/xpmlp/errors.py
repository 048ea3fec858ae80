"""Errors that users can fix. Each message says what was wrong and what to do."""

import re
import reprlib
from typing import Any


class XpmlpError(Exception):
    """Base class of all errors raised by xpmlp; the command line prints them without a traceback."""


class DataError(XpmlpError, ValueError):
    """Data that is missing, damaged, or does not fit what it is used for."""


class ModelFileError(XpmlpError, ValueError):
    """A model file that is damaged, of another kind or of a newer version, or contradicts itself."""


class SettingsError(XpmlpError, ValueError):
    """A setting with an invalid value."""


class OutputError(XpmlpError, OSError):
    """A file or folder that cannot be written, or must not be overwritten."""


class MissingDependencyError(XpmlpError, ImportError):
    """An optional package that is not installed; the message holds the command that installs it."""


class BackendError(XpmlpError, RuntimeError):
    """An array library that is installed but does not work on this machine."""


class DeviceMemoryError(XpmlpError, MemoryError):
    """Too little memory on the device or the host."""


def explain_invalid(error: Exception, values: Any) -> str:
    """Return msgspec's message about invalid data, with the field first and its value, which msgspec leaves out.

    Parameters
    ----------
    error
        A ``msgspec.ValidationError``.
    values
        The data that were converted, as lists and dictionaries.
    """
    found = re.fullmatch(r"(?:Expected (.*?)(?:, got `\S+`)?|(.*?))(?: - at `\$\.?(.*)`)?", str(error), re.DOTALL)
    assert found is not None  # the last groups match any text
    expected, message, path = found.groups()
    if expected is None:
        return f"{path}: {message}" if path else str(message)
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", path or ""):
        values = values[key or int(index)]
    return f"{path or 'it'} is {reprlib.repr(values)}, expected {expected}"
