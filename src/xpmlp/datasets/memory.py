"""How much memory is free, and how much data may take."""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

from xpmlp.errors import DataError, SettingsError

CGROUP = Path("/sys/fs/cgroup")
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
FRACTION = 0.7  # of the available memory, if no limit is given
SMALLEST = 10**6


def available_memory() -> int | None:
    """Return the bytes that this process may still use without swapping; None if unknown."""
    found = [value for value in (memory_of_machine(), memory_of_container()) if value is not None]
    return min(found, default=None)


def memory_of_machine() -> int | None:
    """Return Linux's estimate of available memory; None on other systems."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
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


class Memory(NamedTuple):
    """The memory that data may take, in bytes, and why: in words, for a message."""

    limit: int
    reason: str

    @classmethod
    def of(cls, given: str | int | None) -> "Memory | None":
        """Return a limit that was given, or the larger part of the available memory; None if that is unknown."""
        if given is not None:
            limit = parse_memory(given)
            return cls(limit, f"the limit of {format_bytes(limit)}")
        if (available := available_memory()) is None:
            return None
        return cls(int(FRACTION * available), f"most of the {format_bytes(available)} of free memory")


def parse_memory(text: str | int) -> int:
    """Return a number of bytes written as ``"2GB"``, ``"500 MB"``, ``"1.5GiB"`` or a plain number."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", str(text).lower())
    if found is None or found[2] not in UNITS:
        raise SettingsError(f"--memory: {str(text)!r} is not a size. Write 2GB, 500MB or 1.5GiB.")
    size = int(float(found[1]) * UNITS[found[2]])
    if size < SMALLEST:
        raise SettingsError(f"--memory: {str(text)!r} is less than 1 MB. Write 2GB, 500MB or 1.5GiB.")
    return size
