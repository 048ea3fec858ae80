"""The most memory that this process has held, as the system counts it."""

import contextlib
import platform
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
PEAK_ALONE = "5"  # of what Linux can be asked to forget


def forget_peak() -> None:
    """Count the peak from here on, where the system can."""
    with contextlib.suppress(OSError):
        CLEAR.write_text(PEAK_ALONE, encoding="ascii")


def peak_bytes() -> int | None:
    """Return the most memory that this process has held since `forget_peak`; None where the system does not tell."""
    # Not getrusage on Linux: its peak is at least that of the process that started this one.
    with contextlib.suppress(OSError, ValueError):
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if platform.system() != "Darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes there, and since the process began
