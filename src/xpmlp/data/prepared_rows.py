"""Prepared rows in a temporary file, so that they are decoded and prepared only once."""

import logging
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

from xpmlp.datasets.memory import format_bytes
from xpmlp.nn.samples import Samples

logger = logging.getLogger(__name__)

RESERVE = 0.05  # of the disk, which stays free


def scratch_folder() -> Path:
    """Return the folder for large temporary files: TMPDIR, or /var/tmp, as /tmp is often in memory."""
    large = "/var/tmp"
    is_usable = "TMPDIR" not in os.environ and os.path.isdir(large) and os.access(large, os.W_OK)
    return Path(large if is_usable else tempfile.gettempdir())


class PreparedRows:
    """The prepared rows of some pieces, for as long as the disk has room for them.

    They are in a file without a name, which vanishes with the process.
    """

    def __init__(self) -> None:
        self.file: Any = None
        self.places: dict[int, int] = {}  # where each piece begins
        self.end = 0
        self.is_full = False
        self.lock = threading.Lock()  # held by the thread that writes

    def read(self, piece: int, samples: Samples) -> bool:
        """Read a piece into `samples`; return False if it has not been written."""
        if piece not in self.places:
            return False
        return os.preadv(self.file.fileno(), samples.arrays, self.places[piece]) == count_bytes(samples)

    def write(self, piece: int, samples: Samples) -> None:
        """Keep a piece if there is room."""
        with self.lock:
            if not self.is_full:
                self.append(piece, samples)

    def append(self, piece: int, samples: Samples) -> None:
        """Append a piece to the file, or warn that the disk is full."""
        size, folder = count_bytes(samples), scratch_folder()
        try:
            disk = shutil.disk_usage(folder)
            self.is_full = disk.free - size < RESERVE * disk.total
            if not self.is_full:
                if self.file is None:
                    self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
                    weakref.finalize(self, self.file.close)
                self.is_full = os.pwritev(self.file.fileno(), samples.arrays, self.end) < size
        except OSError:
            self.is_full = True
        if self.is_full:
            logger.warning(
                "%s: has no room for more than %s of prepared rows. The rest is read and prepared again in every "
                "epoch, which takes longer. For more room, set TMPDIR to a folder on a larger disk.",
                folder,
                format_bytes(self.end),
            )
        else:
            self.places[piece] = self.end
            self.end += size


def count_bytes(samples: Samples) -> int:
    """Return the size of samples, in bytes."""
    return sum(array.nbytes for array in samples.arrays)
