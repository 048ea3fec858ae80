"""Free memory, and a check before a large allocation."""

import os
from pathlib import Path

from xpmlp.errors import DataError

CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return the bytes that this process may still use without swapping; None if unknown."""
    found = [value for value in (memory_of_machine(), memory_of_container()) if value is not None]
    return min(found, default=None)


def memory_of_machine() -> int | None:
    """Return Linux's estimate of available memory; on other systems free memory, if known."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def memory_of_container() -> int | None:
    """Return the rest of a container's limit; None without one."""
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        # Cached files are dropped when memory is short.
        for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith("file "):
                used -= int(line.split()[1])
    except (OSError, ValueError):
        return None
    return max(0, limit - used)


def check_memory(needed: int, *, what: str, remedy: str) -> None:
    """Raise `DataError` with the remedy if an allocation needs more memory than is free."""
    available = available_memory()
    if available is not None and needed > available:
        raise DataError(
            f"{what}: needs about {format_bytes(needed)} of memory, but {format_bytes(available)} are free. {remedy}"
        )


def format_bytes(count: int | float) -> str:
    """Return a number of bytes as text, such as ``"1.5 GB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"
