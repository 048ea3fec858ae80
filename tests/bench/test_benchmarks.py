"""The scripts' conclusions: the machine's limit, growth and crossovers."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from xpmlp.bench import BenchSettings, Case, Measurement, Results, Timing

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.fixture(scope="module", autouse=True)
def scripts_on_path() -> Any:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def case(batch_size: int, peak_bytes: int | None = None, **medians: float) -> Case:
    """A case in which each named candidate took about that many seconds per epoch."""
    measurements = tuple(
        Measurement(name, ours=True, timing=Timing((0.99 * m, m, 1.01 * m)), peak_bytes=peak_bytes)
        for name, m in medians.items()
    )
    return Case(BenchSettings(batch_size=batch_size), "synthetic", 60_000, (784, 128, 10), measurements)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_imported_and_gives_its_command(name: str) -> None:
    docstring = importlib.import_module(name).__doc__ or ""
    assert f"python benchmarks/{name}.py" in docstring or name == "candidates"


def test_the_limit_is_the_slowest_of_arithmetic_memory_and_launches() -> None:
    roofline = importlib.import_module("roofline")
    sizes, rows = (784, 128, 10), 60_000
    # Forward and weights' gradients: 2 × 2 × (784 × 128 + 128 × 10) for each row, and 2 × 128 × 10 to the hidden layer.
    operations = rows * (4 * (784 * 128 + 128 * 10) + 2 * 128 * 10)
    assert roofline.count_operations(sizes, rows) == operations
    assert roofline.count_operations((5, 3), 10) == 10 * 4 * 15  # no gradient of the inputs
    for ceilings, limit in (
        ((1e11, 1e10, 1e-6), operations / 1e11),
        ((1e15, 1e8, 1e-6), rows * 794 * 4 / 1e8),
        ((1e15, 1e12, 1e-3), 0.469),
    ):
        assert roofline.limit_seconds(sizes, rows, 469, 4, roofline.Ceilings(*ceilings)) == pytest.approx(limit)
    half = case(128, numpy=2 * operations / 1e11)
    measured = {"numpy": roofline.Ceilings(1e11, 1e12, 1e-9)}
    assert roofline.format_limit(measured, half, half.measurements[0]) == "50 %"
    assert roofline.format_limit({}, half, half.measurements[0]) == ""


@pytest.mark.slow
def test_ceilings_are_measured() -> None:
    ceilings = importlib.import_module("roofline").measure_backend("numpy", "cpu", "float32")
    assert 1e8 < ceilings.arithmetic < 1e14
    assert 1e8 < ceilings.bandwidth < 1e13
    assert 1e-7 < ceilings.launch < 1e-2


def test_a_crossover_lies_between_the_values_around_it() -> None:
    find_crossovers = importlib.import_module("growth").find_crossovers
    cases = [case(32, a=1.0, b=2.0), case(64, a=2.0, b=2.0 / 2**0.5), case(128, a=4.0, b=1.0)]
    ((value, *names),) = find_crossovers([32, 64, 128], cases)
    assert names == ["b", "a"]
    assert value == pytest.approx(32 * 2 ** (2 / 3))  # log ratios −1 and ½: two thirds of the way
    close = case(64, a=1.0, b=1.005)  # the middle halves overlap
    assert find_crossovers([32, 64], [case(32, a=1.005, b=1.0), close]) == []
    ((value, *_),) = find_crossovers([32, 64, 128], [case(32, a=1.0, b=2.0), close, case(128, a=2.0, b=1.0)])
    assert value == pytest.approx(64)


@given(st.floats(-2.0, 2.0), st.floats(0.1, 10.0))
def test_growth_is_the_power_that_was_put_in(power: float, factor: float) -> None:
    values = [10, 30, 100, 1000]
    cases = [case(value, peak_bytes=10**6 * value, numpy=factor * value**power) for value in values]
    ((name, time, memory, _),) = importlib.import_module("growth").growth_rows(values, cases)
    assert (name, memory) == ("numpy", "1.00")
    assert float(time) == pytest.approx(power, abs=0.0051)


def test_a_sweep_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    growth = importlib.import_module("growth")
    cases = (case(32, 10**8, a=1.0, b=2.0), case(128, 10**8, a=2.0, b=1.0))
    results = Results(cases, "batch-size", {}, {}, "2026-11-28")
    growth.print_sweep(results)
    printed = capsys.readouterr().out
    assert "| a | 0.50 | 0.00 | 32: 1, 128: 2 |" in printed
    assert "- from batch-size 64 on, b is faster than a" in printed
    with pytest.raises(SystemExit, match="hold no sweep"):
        growth.print_sweep(replace(results, sweep=None))


@pytest.mark.parametrize(
    ("accuracies", "conclusion"),
    [
        ((0.11, 0.10), "no candidate has learned the task"),
        ((0.96, 0.955), "all others within a point"),
        ((0.96, 0.11), "more than a point lower: torch"),
    ],
)
def test_a_network_that_has_not_learned_is_not_praised(accuracies: tuple[float, float], conclusion: str) -> None:
    trained = case(128, numpy=1.0, torch=1.0)
    measured = tuple(replace(m, accuracy=a) for m, a in zip(trained.measurements, accuracies, strict=True))
    results = Results((replace(trained, measurements=measured),), None, {}, {}, "")
    assert conclusion in importlib.import_module("run").describe_accuracy(results)
