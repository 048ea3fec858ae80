"""What is concluded from timings: medians, tables, warnings, changes, plots; and what files hold."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from xpmlp.bench import BenchSettings, Case, Measurement, Results, Timing, compare_results, load_results, parse_sweep
from xpmlp.bench.plots import draw_sweep, draw_throughput
from xpmlp.bench.report import COLUMNS, describe_case, differences, doubts, table_rows, to_markdown, warnings_of
from xpmlp.errors import DataError, SettingsError

COMMITTED = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json"))


def timings(**seconds: tuple[float, ...]) -> Case:
    """A case with these timings of each named candidate."""
    measurements = tuple(
        Measurement(
            name,
            ours=name != "peer",
            timing=Timing(found),
            difference=0.0,
            accuracy=0.95,
            first_seconds=1.0,
            description={"backend": name, "linear algebra": "OpenBLAS, 2 threads"},
        )
        for name, found in seconds.items()
    )
    return Case(BenchSettings(), "synthetic", 60_000, (784, 128, 10), measurements)


def case(batch_size: int = 128, **medians: float) -> Case:
    """A case in which each named candidate took about that many seconds per epoch."""
    found = timings(**{name: (0.99 * median, median, 1.01 * median) for name, median in medians.items()})
    return replace(found, settings=BenchSettings(batch_size=batch_size))


def with_first(case: Case, **changes: Any) -> Case:
    """A case whose first measurement is another."""
    first, *others = case.measurements
    return replace(case, measurements=(replace(first, **changes), *others))


def results(*cases: Case, sweep: str | None = None, **machine: Any) -> Results:
    return Results(cases, sweep, {"processor": "p", "cores": 2, "system": "s"} | machine, {"numpy": "2"}, "2026-11-24")


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=20))
def test_medians_and_quartiles_are_numpys(seconds: list[float]) -> None:
    timing = Timing(tuple(seconds))
    first, median, third = np.quantile(seconds, [0.25, 0.5, 0.75])
    np.testing.assert_allclose((*timing.quartiles, timing.median), (first, third, median), rtol=1e-9)
    assert timing.is_noisy == (np.subtract(*timing.quartiles[::-1]) > 0.1 * timing.median)


def test_the_fastest_comes_first_and_failures_last_shortened_but_whole_below_the_table() -> None:
    reason = "WorkerError: its process ended (exit code -9), and much more that does not fit into a cell of a table"
    found = with_first(case(jax=4.0, numpy=2.0, torch=1.0), failure=reason)
    failed, unreached = Measurement("cupy", failure="BackendError: no GPU"), Measurement("peer")
    found = replace(found, measurements=(failed, unreached, *found.measurements))
    torch, numpy, jax, *untimed = table_rows(found)
    assert torch == ("torch", "1 [0.995, 1.005]", "60,000", "2.00 ×", "1.00 s", "95.0 %")
    assert numpy[0] == "numpy"
    assert jax[1].startswith("4 [3.98, 4.02]; failed after 3 rounds: WorkerError: its process ended (exit code")
    assert len(jax[1]) < 100
    assert [row[:2] for row in untimed] == [("cupy", "failed: BackendError: no GPU"), ("peer", "not reached")]
    assert {len(row) for row in (torch, numpy, jax, *untimed)} == {1 + len(COLUMNS)}
    assert f"- jax failed: {reason}" in to_markdown(results(found))


def test_warnings_name_noise_few_rounds_other_weights_and_interruption() -> None:
    assert "median of 7 epochs" in describe_case(case())
    cut_short = replace(case(numpy=1.0), epochs_per_timing=20, interrupted=True)
    assert "median of 3 (of 7) timings of 20 epochs [" in describe_case(cut_short)
    first, second = warnings_of(replace(timings(numpy=(1.0, 1.3, 1.6)), interrupted=True))
    assert "vary by more than a tenth" in first
    assert "interrupted" in second
    for difference in (0.5, float("nan")):
        (warning,) = warnings_of(with_first(case(numpy=1.0), difference=difference))
        assert "ended with different weights from NumPy" in warning
    assert warnings_of(with_first(case(numpy=1.0), difference=1e-5)) == []
    (warning,) = warnings_of(timings(numpy=(1.0, 1.0)))
    assert "2 rounds: too few" in warning


def test_the_page_names_machine_threads_versions_gpus_and_load() -> None:
    both = with_first(case(jax=1.0, numpy=2.0), description={"device": "cuda:0", "versions": "jax 0.10.2"})
    page = to_markdown(results(both, conditions={"load": 5.0}))
    assert page.startswith("p, 2 cores, s, 2026-11-24; numpy 2, jax 0.10.2, cuda:0\n")
    assert "- linear algebra: numpy OpenBLAS, 2 threads" in page
    assert "- the machine was busy before the benchmark: load 5.0 on 2 cores" in page
    assert "busy" not in to_markdown(results(both, conditions={"load": 0.2}))


def test_a_change_in_an_equal_case_is_significant_beyond_the_spread() -> None:
    old, once = results(case(numpy=1.0)), results(timings(numpy=(1.0,)))
    for new, significant in ((1.2, True), (0.5, True), (1.004, False)):
        (change,) = compare_results(old, results(case(numpy=new, torch=1.0)))
        assert change.ratio == pytest.approx(new)
        assert (change.name, change.is_significant) == ("numpy", significant)
    (change,) = compare_results(once, results(timings(numpy=(2.0,))))
    assert not change.is_significant
    relu = replace(case(numpy=1.0), settings=BenchSettings(activation="relu"))
    for other in (relu, case(64, numpy=1.0)):
        assert compare_results(old, results(other)) == []


def test_a_comparison_lists_what_else_differs_and_reasons_to_doubt_it() -> None:
    old, new = results(case(numpy=1.0, torch=1.0)), results(case(numpy=1.0), cores=64)
    assert differences(old, old) == doubts(old, old) == []
    assert differences(old, replace(new, versions={"numpy": "3"})) == [
        "cores: 2, then 64",
        "numpy: 2, then 3",
        "only in the old results: torch (784-128-10, batch 128, 60,000 rows)",
    ]
    first, second = doubts(old, results(timings(torch=(1.0, 1.5, 2.0)), conditions={"load": 5.0}))
    assert first.startswith("new results: the machine was busy")
    assert second.startswith("new results: the timings of torch vary by more than a tenth")
    once = results(timings(numpy=(1.0,)))
    assert doubts(once, old) == ["old results: 1 round: too few to know how much the timings vary."]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    written = results(case(32, numpy=1.0, torch=2.0), case(64, numpy=1.0), sweep="batch-size")
    path.write_text(written.to_json())
    assert load_results(path) == written
    first = json.loads(path.read_text())["points"][0]  # the keys of version 1
    assert first["measurements"][0]["timing"]["seconds"] == [0.99, 1.0, 1.01]
    assert first["epochs_a_turn"] == 1
    path.write_text(results(with_first(case(numpy=1.0), difference=float("nan"))).to_json())
    assert len(warnings_of(load_results(path).cases[0])) == 1


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_results_are_still_read(path: Path) -> None:
    rows = table_rows(load_results(path).cases[0])
    page = path.with_suffix(".md").read_text()
    assert len(rows) >= 3
    assert all(f"| {name} | {seconds} |" in page for name, seconds, *_ in rows)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    head = '"format": "xpmlp benchmark", "format_version"'
    for content, reason in (
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is not a results file"),
        (f"{{{head}: 99}}", "format version 99, expected 1"),
        (f'{{{head}: 1, "points": [{{}}]}}', r"is damaged .*\$.points\[0\]"),
        ("[" * 100_000, "is not JSON"),
    ):
        if content is not None:
            path.write_text(content)
        with pytest.raises(DataError, match=reason):
            load_results(path)


def test_a_sweep_is_parsed_and_applied_if_it_is_valid() -> None:
    assert parse_sweep("batch_size=512,32,32") == ("batch-size", (32, 512))
    base = BenchSettings(hidden_layer_sizes=(7, 5))
    for text, changes in (
        ("batch-size=64", {"batch_size": 64}),
        ("depth=3", {"hidden_layer_sizes": (7, 7, 7)}),
        ("hidden=64", {"hidden_layer_sizes": (64,)}),
        ("rows=64", {"rows": 64}),
    ):
        assert parse_sweep(text).apply(base) == [dataclasses.replace(base, **changes)]
    for text in ("width=1,2", "batch-size", "batch-size=", "rows=0,1", "hidden=64,x"):
        with pytest.raises(SettingsError, match="--sweep"):
            parse_sweep(text)


def test_invalid_settings_are_refused() -> None:
    invalid = ("activation", "tan"), ("dtype", "int8"), ("optimizer", "x"), ("hidden_layer_sizes", (0,))
    for name, value in (*invalid, ("batch_size", 0), ("rounds", 0), ("rows", 0)):
        with pytest.raises(SettingsError):
            dataclasses.replace(BenchSettings(), **{name: value})  # type: ignore[arg-type]


def test_every_plot_is_drawn_of_what_can_happen() -> None:
    sweep = results(case(32, a=1.0, b=2.0), case(64), case(128, a=2.0, b=1.0), sweep="batch-size")
    for plot in (draw_throughput(sweep.cases[0]), draw_throughput(timings(peer=(1.0,))), draw_sweep(sweep)):
        assert plot.startswith(b"\x89PNG")
