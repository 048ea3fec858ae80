"""What an outsider needs to know of how it was measured: who computes with how many threads, by which clock."""

import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# The module by which each is seen to be in use, and the package that it is of.
LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jaxlib",
    "keras": "keras",
    "thinc": "thinc",
    "cupy": "cupy",
}
BUSY = 0.5  # processes that want to run, for each core, beyond which others disturb the measurement


def describe_loaded() -> str:
    """Return the array libraries that this process has loaded, with their versions."""
    found = []
    for module, package in LIBRARIES.items():
        if module in sys.modules:
            try:
                found.append(f"{package} {version(package)}")
            except PackageNotFoundError:  # installed under another name, as CuPy is
                found.append(f"{package} {getattr(sys.modules[module], '__version__', 'unknown')}")
    return ", ".join(found)


def describe_conditions() -> dict[str, Any]:
    """Return the threads that were asked for, the clocks, and how busy the machine is now."""
    clock = time.get_clock_info("perf_counter")
    return {
        "threads": {name: value for name, value in sorted(os.environ.items()) if name.endswith("_NUM_THREADS")},
        "clock": {"implementation": clock.implementation, "resolution": clock.resolution},
        "processor_mhz": processor_mhz(),
        "load": load(),
    }


def processor_mhz() -> list[float]:
    """Return the speed of each core just now, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return []


def load() -> float | None:
    """Return how many processes have wanted to run in the last minute; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe_load(machine: dict[str, Any]) -> str | None:
    """Say that others were at work on the machine when it began; None where they were not."""
    conditions = machine.get("conditions") or {}
    busy, cores = conditions.get("load"), machine.get("cores")
    if not busy or not cores or busy <= BUSY * cores:
        return None
    return (
        f"the machine was busy before it began: {busy:.1f} processes wanted its {cores} cores. The figures are of a "
        "shared machine; measure again when it is quiet."
    )
