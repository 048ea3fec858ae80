"""Versions and machine, for the record of a run."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("xpmlp", "numpy", "array-api-compat", "scikit-learn", "safetensors")


def describe_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def describe_machine() -> dict[str, Any]:
    """Return the system, the processor, and its BLAS libraries with their threads."""
    from threadpoolctl import threadpool_info

    return {
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "blas": [
            {name: pool.get(name) for name in ("internal_api", "version", "architecture", "num_threads")}
            for pool in threadpool_info()
            if pool.get("user_api") == "blas"
        ],
    }


def processor_name() -> str:
    """Return the processor's model name, or its architecture if the system does not tell."""
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8", errors="replace") if information.is_file() else ""
    if found := re.search(r"^model name[ \t]*:[ \t]*(.+)", text, re.MULTILINE):
        return found[1].strip()
    return platform.processor() or platform.machine()
