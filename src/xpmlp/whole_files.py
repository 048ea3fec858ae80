"""Files that are written whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader finds the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step.

    Raises
    ------
    OutputError
        Where the folder does not exist, may not be written or is full; `path` is then as it was.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; a result is as readable as any new file.
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error}). Free space or choose another folder."
        raise OutputError(message) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def current_umask() -> int:
    """The permission bits that this process takes away from new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
