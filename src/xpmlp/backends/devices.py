"""Devices and their names."""

from typing import NamedTuple

from xpmlp.errors import SettingsError


class Device(NamedTuple):
    """A device that a backend can use here.

    Attributes
    ----------
    name
        As `load_backend` takes it, such as ``"cuda:0"``.
    description
        Such as ``"NVIDIA H200"``.
    total_memory, free_memory
        Bytes of its own memory; None if it shares the host's, or its library does not report it.
    """

    name: str
    description: str
    total_memory: int | None = None
    free_memory: int | None = None


def is_gpu(name: str) -> bool:
    """Return whether a device of that name is not the host's processor."""
    return name.partition(":")[0] != "cpu"


def device_number(name: str, index: str, count: int) -> int:
    """Return the number after a device's colon, as in ``"cuda:1"``, or 0; refuse one of `count` or more."""
    if index and not index.isdecimal():
        raise SettingsError(f"device {name!r}: what stands behind the colon is not a number, as in cuda:1.")
    number = int(index or 0)
    if number >= count:
        there = "is only one" if count == 1 else f"are only {count}, numbered from 0"
        kind = name.partition(":")[0]
        known = f"{kind}:0" if count == 1 else f"one of {kind}:0 to {kind}:{count - 1}"
        raise SettingsError(f"device {name!r}: of this kind there {there}. Use {known}.")
    return number
