"""What is concluded from timings: medians, limits, crossings, changes, and when nothing can be."""

import dataclasses
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.backends import NumpyBackend
from xpmlp.bench import BenchSettings, Limits, Measurement, Point, Results, compare_results, load_results, parse_sweep
from xpmlp.bench.compare import differences, doubts
from xpmlp.bench.conditions import describe_conditions, describe_load, describe_loaded
from xpmlp.bench.crossings import find_crossings
from xpmlp.bench.figures import draw_roofline, draw_sweep, draw_throughput, label_decades, plain
from xpmlp.bench.growth import find_growth
from xpmlp.bench.limits import Ceilings, epoch_operations, limit_seconds, measure_ceilings
from xpmlp.bench.memory import why_too_large
from xpmlp.bench.report import describe_settings, table_rows, to_markdown, versions_of, warnings_of
from xpmlp.bench.timing import Timing
from xpmlp.errors import DataError, SettingsError
from xpmlp.plots import house_style, new_figure


def point(batch_size: int = 128, difference: float = 0.0, **medians: float) -> Point:
    """A point in which each of the named took about so many seconds an epoch."""
    measurements = tuple(
        Measurement(
            name,
            ours=True,
            timing=Timing((0.99 * median, median, 1.01 * median)),
            difference=difference,
            accuracy=0.95,
            first_seconds=1.0,
            ceilings=Ceilings(1e9, 1e9, 1e-6),
            limits=Limits(median / 2, 0.0, 0.0),
            description={"backend": name},
        )
        for name, median in medians.items()
    )
    return Point(BenchSettings(batch_size=batch_size), "synthetic", 60_000, (784, 128, 10), measurements)


def results(*points: Point, sweep: str | None = None) -> Results:
    return Results(points, sweep, {"processor": "p", "cores": 2, "system": "s"}, {"numpy": "2"}, "2026-11-24")


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=20))
def test_medians_and_quartiles_are_numpys(seconds: list[float]) -> None:
    timing = Timing(tuple(seconds))
    assert timing.median == statistics.median(seconds)
    np.testing.assert_allclose(timing.quartiles, np.quantile(seconds, [0.25, 0.75]), rtol=1e-9)


@pytest.mark.parametrize(("seconds", "noisy"), [((1.0, 1.01, 1.02), False), ((1.0, 1.2, 1.5), True), ((1.0,), False)])
def test_timings_that_scatter_are_noisy(seconds: tuple[float, ...], noisy: bool) -> None:
    assert Timing(seconds).is_noisy is noisy


def test_the_operations_of_an_epoch_are_those_of_its_products() -> None:
    # 784-128-10, 60,000 rows: forward and weights' gradients 2 × 2 × (784 × 128 + 128 × 10), and 2 × 128 × 10 back.
    operations = epoch_operations((784, 128, 10), 60_000, 4)
    assert operations.arithmetic == 60_000 * (4 * (784 * 128 + 128 * 10) + 2 * 128 * 10)
    assert operations.traffic == 60_000 * 794 * 4
    assert epoch_operations((5, 3), 10, 8).arithmetic == 10 * 4 * 15  # nothing goes back to the inputs


def test_the_limit_is_what_takes_longest() -> None:
    operations = epoch_operations((784, 128, 10), 60_000, 4)
    limits = limit_seconds(operations, Ceilings(1e11, 1e10, 1e-6), 469)
    assert limits.arithmetic == pytest.approx(operations.arithmetic / 1e11)
    assert limits.launch == pytest.approx(469e-6)
    assert limits.seconds == limits.arithmetic


@pytest.mark.slow
def test_ceilings_are_measured() -> None:
    ceilings = measure_ceilings(NumpyBackend(), "float32")
    assert 1e8 < ceilings.arithmetic < 1e14
    assert 1e8 < ceilings.bandwidth < 1e13
    assert 1e-7 < ceilings.launch < 1e-2


def test_a_crossing_is_found_between_the_values_around_it() -> None:
    points = [point(numpy=1.0, torch=2.0), point(numpy=2.0, torch=2.0 / 2**0.5), point(numpy=4.0, torch=1.0)]
    (crossing,) = find_crossings([32, 64, 128], points)
    assert (crossing.faster, crossing.slower) == ("torch", "numpy")
    assert crossing.value == pytest.approx(32 * 2 ** (2 / 3))  # log ratios −1 and ½: two thirds of the way
    assert find_crossings([32, 64], [point(a=1.0, b=2.0), point(a=1.0, b=3.0)]) == []


def test_a_crossing_is_said_in_words() -> None:
    page = to_markdown(results(point(32, a=1.0, b=2.0), point(128, a=2.0, b=1.0), sweep="batch-size"))
    assert "from batch-size 64 on, b is faster than a" in page


def test_the_fastest_comes_first_and_failures_last() -> None:
    failed = Measurement("cupy", failure="BackendError: no GPU")
    both = point(numpy=2.0, torch=1.0)
    both = dataclasses.replace(both, measurements=(failed, *both.measurements))
    rows = table_rows(both)
    assert [row[0] for row in rows] == ["torch", "numpy", "cupy"]
    assert rows[0][1:5] == ("1 [0.995, 1.005]", "60,000", "2.00 ×", "50 %")
    assert rows[2][1] == "failed: BackendError: no GPU"


def test_a_failure_in_between_stands_beside_what_was_timed_before_it() -> None:
    reason = (
        "WorkerError: its process ended (exit code -9), and there is much more to be said of it than a cell can hold"
    )
    timing = Timing((1.0, 1.0, 1.0))
    both = dataclasses.replace(point(numpy=2.0), measurements=(Measurement("jax", timing=timing, failure=reason),))
    ((_, seconds, *_),) = table_rows(both)
    assert seconds.startswith("1 [1, 1]; failed after 3 rounds: WorkerError: its process ended (exit code")
    assert len(seconds) < 100
    assert f"jax failed: {reason}" in warnings_of(both)
    assert f"- jax failed: {reason}" in to_markdown(results(both))


def test_what_was_not_reached_did_not_fail() -> None:
    interrupted = dataclasses.replace(point(), measurements=(Measurement("numpy"),), interrupted=True)
    ((_, seconds, *_),) = table_rows(interrupted)
    assert seconds == "not reached"


def test_the_title_counts_the_rounds_that_were_run() -> None:
    assert "median of 7 epochs" in describe_settings(dataclasses.replace(point(), measurements=()))
    cut_short = dataclasses.replace(point(numpy=1.0), epochs_a_turn=20, interrupted=True)
    assert "median of 3 (of 7) turns of 20 epochs" in describe_settings(cut_short)


def test_a_reader_is_warned_of_noise_other_weights_and_interruption() -> None:
    noisy = Measurement("numpy", timing=Timing((1.0, 1.3, 1.6)), overhead=0.05)
    warnings = warnings_of(dataclasses.replace(point(), measurements=(noisy,), interrupted=True))
    assert len(warnings) == 3
    assert "too noisy" in warnings[0]
    assert "took up to 5.0 % of a turn" in warnings[1]
    assert "interrupted" in warnings[2]
    for difference in (0.5, float("nan")):
        (warning,) = warnings_of(point(numpy=1.0, difference=difference))
        assert "ended with other weights than NumPy" in warning
    assert warnings_of(point(numpy=1.0, difference=1e-5)) == []


@pytest.mark.parametrize(("new", "ratio", "beyond"), [(1.2, 1.2, True), (0.5, 0.5, True), (1.004, 1.004, False)])
def test_a_change_counts_beyond_the_spread(new: float, ratio: float, beyond: bool) -> None:
    (change,) = compare_results(results(point(numpy=1.0)), results(point(numpy=new, torch=1.0)))
    assert change.ratio == pytest.approx(ratio)
    assert (change.name, change.is_beyond_spread) == ("numpy", beyond)


def test_too_few_rounds_decide_no_comparison() -> None:
    once, later = (
        dataclasses.replace(point(), measurements=(Measurement("numpy", timing=Timing((seconds,))),))
        for seconds in (1.0, 2.0)
    )
    (change,) = compare_results(results(once), results(later))
    assert not change.is_beyond_spread
    assert doubts(results(once), results(point(numpy=1.0))) == [
        "of the old: the timings of numpy are too few to know how they scatter."
    ]


def test_a_comparison_says_why_a_change_may_be_the_machines() -> None:
    quiet = results(point(numpy=1.0))
    assert doubts(quiet, quiet) == []
    noisy = dataclasses.replace(point(), measurements=(Measurement("torch", timing=Timing((1.0, 1.5, 2.0))),))
    busy = dataclasses.replace(results(noisy), machine={"cores": 2, "conditions": {"load": 5.0}})
    first, second = doubts(quiet, busy)
    assert first.startswith("of the new: the machine was busy before it began: 5.0 processes wanted its 2 cores")
    assert second == "of the new: the timings of torch scatter by more than a tenth."


def test_the_devices_that_are_named_beside_the_versions_are_gpus() -> None:
    one = point(jax=1.0).measurements[0]
    for device, named in (("cpu:0", False), ("cpu", False), ("cuda:0", True), ("NVIDIA H200", True)):
        described = dataclasses.replace(one, description={"device": device})
        found = versions_of(results(dataclasses.replace(point(), measurements=(described,))))
        assert (device in found) is named


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (12.3, "12"), (3.46, "3.5"), (0.0345, "0.035")])
def test_small_numbers_are_not_rounded_to_nothing(value: float, text: str) -> None:
    assert plain(value) == text


def test_another_activation_is_another_network() -> None:
    relu = dataclasses.replace(point(numpy=1.0), settings=BenchSettings(activation="relu"))
    assert compare_results(results(point(numpy=1.0)), results(relu)) == []


def test_a_comparison_says_what_else_differs() -> None:
    old, new = results(point(numpy=1.0, torch=1.0)), results(point(numpy=1.0))
    new = dataclasses.replace(new, machine=new.machine | {"cores": 64}, versions={"numpy": "3"})
    assert differences(old, old) == []
    assert differences(old, new) == [
        "cores: 2, then 64",
        "numpy: 2, then 3",
        "only in the old: torch (784-128-10, batch 128, 60,000 rows)",
    ]


def test_only_what_both_have_is_compared() -> None:
    assert compare_results(results(point(64, numpy=1.0)), results(point(128, numpy=1.0))) == []


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    written = results(point(32, numpy=1.0, torch=2.0), point(64, numpy=1.0), sweep="batch-size")
    written.save(path)
    assert load_results(path) == written


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "does not hold results"),
        ('{"format": "xpmlp benchmark", "format_version": 99}', "format version 99, expected 1"),
        ('{"format": "xpmlp benchmark", "format_version": 1, "points": [{}]}', "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(DataError, match=reason):
        load_results(path)
    with pytest.raises(DataError, match="cannot be read"):
        load_results(tmp_path / "none.json")


def test_a_sweep_is_read_from_its_text() -> None:
    sweep = parse_sweep("batch_size=512,32,32")
    assert (sweep.name, sweep.values) == ("batch-size", (32, 512))
    assert sweep.apply(BenchSettings(), 64).batch_size == 64
    assert parse_sweep("depth=3").apply(BenchSettings(hidden_layer_sizes=(7, 5)), 3).hidden_layer_sizes == (7, 7, 7)
    assert parse_sweep("hidden=64").apply(BenchSettings(), 64).hidden_layer_sizes == (64,)


@pytest.mark.parametrize("text", ["width=1,2", "batch-size", "batch-size=", "rows=0,1", "hidden=64,x"])
def test_a_sweep_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--sweep"):
        parse_sweep(text)


def test_settings_that_cannot_be_are_refused() -> None:
    for changes in (
        {"activation": "tan"},
        {"dtype": "int8"},
        {"batch_size": 0},
        {"rounds": 0},
        {"rows": 0},
        {"hidden_layer_sizes": (0,)},
        {"optimizer": "x"},
    ):
        with pytest.raises(SettingsError):
            dataclasses.replace(BenchSettings(), **changes)


def test_everything_is_in_the_file() -> None:
    written = json.loads(results(point(numpy=1.0)).to_json())
    assert written["points"][0]["measurements"][0]["timing"]["seconds"] == [0.99, 1.0, 1.01]
    assert written["machine"]["processor"] == "p"


def test_a_value_at_which_neither_is_clearly_faster_decides_nothing() -> None:
    close = point(a=1.0, b=1.005)  # their middle halves overlap
    assert find_crossings([32, 64], [point(a=1.005, b=1.0), close]) == []
    (crossing,) = find_crossings([32, 64, 128], [point(a=1.0, b=2.0), close, point(a=2.0, b=1.0)])
    assert crossing.faster == "b"
    assert crossing.value == pytest.approx(64)


@given(st.floats(-2.0, 2.0), st.floats(0.1, 10.0))
def test_growth_is_the_power_that_was_put_in(power: float, factor: float) -> None:
    values = [10, 30, 100, 1000]
    points = [
        dataclasses.replace(one, measurements=(dataclasses.replace(one.measurements[0], peak_bytes=10**6 * value),))
        for value in values
        for one in (point(numpy=factor * value**power),)
    ]
    (growth,) = find_growth(values, points)
    assert growth.seconds == pytest.approx(power, abs=1e-6)
    assert growth.last_seconds == pytest.approx(power, abs=1e-6)
    assert growth.memory == pytest.approx(1.0)


def test_two_points_are_too_few_to_speak_of_growth() -> None:
    assert find_growth([1, 2], [point(numpy=1.0), point(numpy=2.0)]) == []


def test_memory_for_weights_and_batches_counts_as_well_as_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpmlp.bench.memory.available_memory", lambda: 2**30)
    usual = point(numpy=1.0)
    assert why_too_large(usual, 1) is None
    wide = dataclasses.replace(usual, sizes=(784, 10**6, 10))  # 3 GiB of weights
    assert "needs about" in (why_too_large(wide, 1) or "")
    whole = dataclasses.replace(usual, sizes=(784, 4096, 10), settings=BenchSettings(batch_size=60_000))
    assert "needs about" in (why_too_large(whole, 1) or "")
    many = dataclasses.replace(usual, rows=200_000)
    assert why_too_large(many, 10) is not None
    monkeypatch.setattr("xpmlp.bench.memory.available_memory", lambda: None)
    assert why_too_large(wide, 1) is None


def test_a_machine_that_was_busy_before_is_said_to_have_been() -> None:
    assert "was busy" in (describe_load({"cores": 2, "conditions": {"load": 5.0}}) or "")
    assert describe_load({"cores": 2, "conditions": {"load": 0.2}}) is None
    assert describe_load({"cores": 2}) is None
    busy = results(point(numpy=1.0))
    busy = dataclasses.replace(busy, machine=busy.machine | {"conditions": {"load": 5.0}})
    assert "was busy" in to_markdown(busy)


def test_threads_clock_and_versions_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    conditions = describe_conditions()
    assert conditions["threads"]["OPENBLAS_NUM_THREADS"] == "3"
    assert 0.0 < conditions["clock"]["resolution"] < 1e-3
    assert f"numpy {np.__version__}" in describe_loaded()


def test_too_few_rounds_are_said_to_be() -> None:
    two = dataclasses.replace(point(), measurements=(Measurement("numpy", timing=Timing((1.0, 1.0))),))
    (warning,) = warnings_of(two)
    assert "2 rounds: too few" in warning


@pytest.mark.parametrize(("low", "high"), [(38_000.0, 110_000.0), (0.2, 90.0), (1e-3, 1e6)])
def test_a_logarithmic_axis_has_plain_numbers_and_enough_of_them(low: float, high: float) -> None:
    with house_style():
        axes = new_figure(4.0, 3.0).add_subplot()
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        label_decades(axes.xaxis, low, high)
        labels = [label.get_text() for label in axes.get_xticklabels()]
    assert 3 <= len(labels) <= 12
    assert [float(label.replace(",", "")) for label in labels] == pytest.approx(list(axes.get_xticks()))


def test_every_picture_is_drawn_of_what_can_happen() -> None:
    wide = results(point(32, a=1.0, b=2.0), point(64), point(128, a=2.0, b=1.0), sweep="batch-size")
    for picture in (draw_throughput(wide.points[0]), draw_sweep(wide), draw_roofline(wide.points[0])):
        assert (picture or b"").startswith(b"\x89PNG")
    bare = dataclasses.replace(point(), measurements=(Measurement("peer", timing=Timing((1.0,))),))
    assert draw_roofline(bare) is None
    assert draw_throughput(bare).startswith(b"\x89PNG")
