"""Describe the machine: processor, cores, BLAS threads and versions, in the line above a table.

    python benchmarks/machine.py

Prints that line.
"""

import numpy as np  # noqa: F401 - loads the BLAS that is described

from xpmlp.environment import describe_machine, describe_versions


def describe() -> str:
    """Return machine, threads and versions in one line."""
    machine = describe_machine()
    pools = [f"{p['internal_api']} {p['version']} (threads: {p['num_threads']})" for p in machine["blas"]]
    versions = [f"{name} {version}" for name, version in describe_versions().items()]
    parts = [machine["processor"], f"{machine['cores']} cores", *pools, machine["system"], *versions]
    return ", ".join(dict.fromkeys(parts))


if __name__ == "__main__":
    print(describe())
