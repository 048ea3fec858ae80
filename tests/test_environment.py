import os
import platform
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from xpmlp import environment


def test_versions_are_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = environment.describe_versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert "unknown" not in versions.values()

    def fail(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(environment, "version", fail)
    assert environment.describe_versions()["numpy"] == "unknown"


def test_the_machine_is_described_by_what_decides_the_speed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = environment.describe_machine()
    assert machine["system"] == platform.platform()
    assert machine["processor"]
    assert 1 <= machine["cores"] <= (os.cpu_count() or 1)
    assert all(pool["num_threads"] >= 1 for pool in machine["blas"])
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS and Windows
    monkeypatch.setattr(environment, "Path", lambda name: tmp_path)  # no cpuinfo either
    machine = environment.describe_machine()
    assert machine["cores"] == os.cpu_count()
    assert machine["processor"] == (platform.processor() or platform.machine())
