"""Mistakes that a user can mend, each with a message that says what was wrong and what to do."""


class XpmlpError(Exception):
    """Base of every error that xpmlp raises on purpose; the command line prints it without a traceback."""


class DataError(XpmlpError, ValueError):
    """Data that is missing, damaged, or does not fit what it is used for."""


class ModelFileError(XpmlpError, ValueError):
    """A model file that is damaged, foreign, of a newer format, or contradicts itself."""


class SettingsError(XpmlpError, ValueError):
    """A setting with a value that training cannot use."""


class OutputError(XpmlpError, OSError):
    """A file or folder that cannot be written, or that may not be overwritten."""


class MissingDependencyError(XpmlpError, ImportError):
    """An optional package that is not installed; the message holds the command that installs it."""


class BackendError(XpmlpError, RuntimeError):
    """An array library that is installed, but cannot compute on this machine."""


class DeviceMemoryError(XpmlpError, MemoryError):
    """A device, or the host, with too little memory for what was asked of it."""
