"""How much memory data may take."""

import re
from typing import NamedTuple

from xpmlp.errors import SettingsError

from ..memory import available_memory, format_bytes

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
FRACTION = 0.7  # of the available memory, if no limit is given
SMALLEST = 10**6


class Memory(NamedTuple):
    """The memory that data may take, in bytes, and why: in words, for a message."""

    limit: int
    reason: str

    @classmethod
    def of(cls, given: "str | int | Memory | None") -> "Memory | None":
        """Return a limit that was given, or the larger part of the available memory; None if that is unknown."""
        if isinstance(given, Memory):
            return given
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
