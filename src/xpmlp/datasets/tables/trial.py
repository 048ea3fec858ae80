"""Reading a file in another process first, as a few damaged ones end the process that reads them."""

import atexit
import functools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

from xpmlp.errors import DataError

from ..memory import available_memory

Scan = Literal["scan_parquet", "scan_ipc", "read_ipc_stream"]
LARGEST = 2**30  # bytes; larger files are trusted, as reading them once more takes long
IDLE_SECONDS = 10
ONE_AT_A_TIME = threading.Lock()
# Its errors are not reported: this process meets them again.
READER = f"""
import contextlib, signal, sys, polars
with contextlib.suppress(ImportError, ValueError):
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))
wait = getattr(signal, "alarm", lambda seconds: None)
wait({IDLE_SECONDS})
for line in sys.stdin:
    wait(0)
    scan, path = line.split()
    with contextlib.suppress(Exception, polars.exceptions.PanicException), open(bytes.fromhex(path), "rb") as file:
        table = getattr(polars, scan)(file).lazy()
        table.select(polars.all().null_count()).collect(engine="streaming")
    print(flush=True)
    wait({IDLE_SECONDS})
"""


@functools.cache
def reader() -> subprocess.Popen[bytes]:
    """Start the process that reads files; it ends with this one, or if it has nothing to do for a while."""
    command = [sys.executable, "-P", "-c", READER, str((available_memory() or 2**42) // 2)]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=nothing)


@atexit.register
def stop() -> None:
    """Stop the process, if it was started."""
    if reader.cache_info().currsize:
        with reader() as process:
            process.kill()
        reader.cache_clear()


def refuse_crashing(path: Path, scan: Scan) -> None:
    """Refuse a file that ends the process which reads it with that function of Polars."""
    if path.stat().st_size > LARGEST:
        return
    with ONE_AT_A_TIME:
        if not survives(path, scan):
            raise DataError(f"{path}: is damaged, or larger than memory: reading it fails. Copy or download it again.")


def survives(path: Path, scan: Scan) -> bool:
    """Return whether the other process still runs after reading a file."""
    process = reader()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{scan} {os.fsencode(path).hex()}\n".encode())
        process.stdin.flush()
        if process.stdout.readline():
            return True
    except BrokenPipeError:
        pass
    reader.cache_clear()
    with process:
        is_idle = process.wait() == -getattr(signal, "SIGALRM", 0)
    return survives(path, scan) if is_idle else False
