"""Files that are written whole or not at all, and regular files to read."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from .errors import DataError, OutputError


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file, perhaps in parts, so that readers find the old content or the new, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step. If `path` is a
    link, its target is written.

    Raises
    ------
    OutputError
        If the folder does not exist, is full or not writable, or `path` is a folder or a device; nothing is changed.
    """
    temporary = None
    try:
        target = Path(os.path.realpath(path))
        # Root could replace even /dev/null.
        if os.path.lexists(target) and not target.is_file():
            raise OSError(errno.EEXIST, "it is not a regular file")
        # Not the whole name, which may be as long as the file system allows.
        temporary = target.with_name(f".{target.name[:40]}.{os.urandom(8).hex()}")
        with temporary.open("xb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error}). Free space or choose another folder."
        raise OutputError(message) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def read_whole(path: Path) -> bytes:
    """Return the content of a regular file; pipes and devices, which may never end, raise an `OSError`."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read()


def open_data(path: Path, what: str) -> BufferedReader:
    """Open a regular file of data; if it is none, say so and `what` was expected, such as "a picture"."""
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder, not {what}. Name a file in it.")
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: not a regular file. Save its content as {what} first.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Check the name and the folder.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error  # a ValueError tells of a name that no file can have
        raise DataError(f"{path}: cannot be read ({reason}). Check its name and permissions.") from error


def lock_folder(path: Path) -> int | None:
    """Return a descriptor that keeps other processes from locking a folder until it is closed.

    None where a folder cannot be locked, as on Windows.

    Raises
    ------
    OutputError
        If another process holds the lock.
    """
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise OutputError(f"{path}: another process is writing to this folder. Choose another.") from error
        return None
    return descriptor
