"""The read-only and the strict library must be what the other tests take them for."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("place", ["numpy-readonly"], indirect=True)
def test_a_read_only_array_and_what_functions_make_of_it_cannot_be_written_to(place: Any) -> None:
    x, xp = place.asarray([[1.0, 2.0], [3.0, 4.0]]), place.xp
    results = [x, x[..., 0], xp.exp(x), xp.sum(x, axis=-1), xp.stack([x, x]), xp.where(x > 0, x, 0.0)]
    for array in [*results, xp.matrix_transpose(x), xp.zeros_like(x)]:
        with pytest.raises(ValueError, match="read-only"):
            array += 1.0
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


@pytest.mark.parametrize("place", ["array-api-strict", "array-api-strict-2024.12"], indirect=True)
def test_strict_arrays_live_off_the_default_device_and_follow_the_version_asked_for(place: Any) -> None:
    x, xp = place.asarray([1.0, -1.0]), place.xp
    assert x.device != xp.zeros(1).device
    with pytest.raises(RuntimeError):
        x[x > 0.0]
    with pytest.raises(RuntimeError):
        xp.nonzero(x)
    with pytest.raises(ValueError, match="device"):
        x + xp.zeros(2, dtype=xp.float64)
    with pytest.raises(TypeError):
        x + np.zeros(2)
    version = xp.__array_api_version__
    if place.name == "array-api-strict-2024.12":
        assert version == "2024.12"
    else:
        with pytest.warns(UserWarning, match="draft"):
            xp.set_array_api_strict_flags(api_version=f"{int(version[:4]) + 1}.12")


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ({"skipped": ["test[cupy]"]}, "found NO GPU that a library could use (0 passed, 0 failed, 0 error, 1 skipped)"),
        (
            {"passed": ["test[torch]"], "failed": ["test[jax]"], "skipped": ["test[cupy]"]},
            "cupy was not tried, torch works, jax DOES NOT WORK on this GPU (1 passed, 1 failed, 0 error, 1 skipped)",
        ),
        (
            {"passed": ["test[torch]"], "error": ["other[torch]"]},
            "cupy was not tried, torch DOES NOT WORK, jax was not tried on this GPU (1 passed, 0 failed, 1 error, 0",
        ),
    ],
)
def test_the_verdict_on_a_gpu_is_of_each_library(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, outcomes: dict[str, list[str]], verdict: str
) -> None:
    monkeypatch.delitem(sys.modules, "emulated_cuda", raising=False)
    conftest = request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    assert conftest is not None
    tests = {outcome: outcomes.get(outcome, []) for outcome in ("passed", "failed", "error", "skipped")}
    assert conftest.gpu_verdict(tests).startswith(f"verdict: {verdict}")


@pytest.mark.slow
def test_a_run_on_a_gpu_starts_without_libraries_for_tables_and_downloads() -> None:
    missing = "polars=None, pooch=None, array_api_strict=None, PIL=None, typer=None"
    code = f"import sys, pytest; sys.modules.update({missing}); sys.exit(pytest.main(sys.argv[1:]))"
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, "-m", "gpu", "--collect-only", "-q", "-p", "no:cacheprovider", tests]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(tests).parent)
    for room in ("nn", "backends", "estimators"):
        assert f"tests/{room}/" in result.stdout, result.stdout + result.stderr
    assert "error" not in result.stdout.splitlines()[-1], result.stdout


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    import xpmlp

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    monkeypatch.delitem(vars(xpmlp), "__version__", raising=False)
    assert xpmlp.__version__ == "0+unknown"
    monkeypatch.delitem(vars(xpmlp), "__version__")
