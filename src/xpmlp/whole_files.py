"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from .errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader finds the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step. Where `path` is
    a link, it stays one, and the file that it points to is written.

    Raises
    ------
    OutputError
        Where the folder does not exist, may not be written or is full, or `path` is a folder or a device; all is then
        as it was.
    """
    temporary = None
    try:
        target = Path(os.path.realpath(path))
        # Root may replace even /dev/null.
        if os.path.lexists(target) and not target.is_file():
            raise OSError(errno.EEXIST, "it is not a regular file")
        # The temporary name is longer than the name, which may be as long as the file system allows.
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; a result is as readable as any new file.
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, target)
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
