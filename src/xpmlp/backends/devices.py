"""What may compute: devices, by the names that users give them."""

from typing import NamedTuple

from xpmlp.errors import SettingsError


class Device(NamedTuple):
    """A device that a backend can use here.

    Attributes
    ----------
    name
        As `load_backend` takes it, such as ``"cuda:0"``.
    description
        What it is, such as ``"NVIDIA H200"``.
    total_memory, free_memory
        Bytes of its own memory; None where it shares the host's, or does not tell.
    """

    name: str
    description: str
    total_memory: int | None = None
    free_memory: int | None = None


def is_gpu(name: str) -> bool:
    """Tell whether a device of that name is something else than the host's own processor."""
    return name.partition(":")[0] != "cpu"


def device_number(name: str, index: str, count: int) -> int:
    """Read the number behind a device's name, as in ``"cuda:1"``; 0 where there is none.

    Raises
    ------
    SettingsError
        Where it is no number, or there are not so many devices.
    """
    if index and not index.isdecimal():
        raise SettingsError(f"device {name!r}: what stands behind the colon is not a number, as in cuda:1.")
    number = int(index or 0)
    if number >= count:
        there = "is only one" if count == 1 else f"are only {count}, numbered from 0"
        kind = name.partition(":")[0]
        known = f"{kind}:0" if count == 1 else f"one of {kind}:0 to {kind}:{count - 1}"
        raise SettingsError(f"device {name!r}: of this kind there {there}. Use {known}.")
    return number
