"""Whether a point fits into the host's memory, found out before it is tried."""

import os

import numpy as np

from .measure import Point, describe_point

COPIES_PER_CONTENDER = 2  # as it is read, and as the library wants it


def needed_bytes(point: Point, contenders: int) -> int:
    """Return about how much memory the data of a point take, over all processes."""
    values = point.rows * (point.sizes[0] + point.sizes[-1])
    return int(values * np.dtype(point.settings.dtype).itemsize * (COPIES_PER_CONTENDER * contenders + 1))


def free_bytes() -> int | None:
    """Return how much memory the host could still give; None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def why_too_large(point: Point, contenders: int) -> str | None:
    """Return why a point cannot be measured; None where it can."""
    free = free_bytes()
    needed = needed_bytes(point, contenders)
    if free is None or needed <= free:
        return None
    return f"{describe_point(point)}: its data need about {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} are free"
