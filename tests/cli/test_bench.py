"""``xpmlp bench`` times what is here and compares what was timed."""

import json
from pathlib import Path
from typing import Any

import pytest

QUICK = ("--data", "digits", "--hidden", "8", "--rounds", "3", "--rows", "200")


@pytest.mark.slow
def test_it_prints_a_table_and_writes_the_files(xpmlp: Any, tmp_path: Path) -> None:
    out = xpmlp("bench", "--backend", "numpy", *QUICK, "-o", tmp_path / "out").out
    assert "64-8-10, batch 128, 200 rows" in out
    assert "numpy" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "results.json",
        "results.md",
        "throughput.png",
    ]
    old = tmp_path / "out" / "results.json"
    values = json.loads(old.read_text())
    timing = values["points"][0]["measurements"][0]["timing"]
    timing["seconds"] = [10.0 * second for second in timing["seconds"]]
    new = tmp_path / "slower.json"
    new.write_text(json.dumps(values))
    out = xpmlp("bench", "--compare", old, new).out
    assert "10.000" in out
    assert "slower by 900 %" in out


@pytest.mark.slow
def test_a_tables_target_is_named_as_it_is_for_training(xpmlp: Any, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("size,kind\n" + "".join(f"{row / 50},{'large' if row > 50 else 'small'}\n" for row in range(100)))
    arguments = ("bench", "--backend", "numpy", "--data", table, "--hidden", "2", "--rounds", "1")
    err = xpmlp(*arguments, status=1).err
    assert "Name it with --target" in err
    out = xpmlp(*arguments, "--target", "kind").out
    assert "1-2-2, batch 128, 80 rows" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--backend", "numpyy"), "--backend: 'numpyy' is not one of numpy, cupy, torch, jax"),
        (("--sweep", "width=1", "--backend", "numpy"), "--sweep: 'width' is not one of"),
        (("--sweep", "depth=1,2", "--hidden", "none", "--backend", "numpy"), "--sweep depth: there is no hidden layer"),
        (("--backend", "numpy", "--data", "diabetes"), "its target is numeric"),
        (("--dtype", "int8", "--backend", "numpy"), "dtype: 'int8' is not one of"),
        (("--rounds", "0", "--backend", "numpy"), "rounds: 0 is too few"),
        (("--backend", "numpy", "--target", "kind"), "synthetic: is not a table, so --target cannot be used"),
        (("--backend", "numpy", "--data", "no-such"), "neither a known dataset"),
        (("--compare", "none.json", "none.json"), "none.json: cannot be read"),
    ],
)
def test_a_mistake_is_said_before_anything_is_measured(refused: Any, arguments: tuple[str, ...], reason: str) -> None:
    refused(("bench", *arguments), reason)


@pytest.mark.slow
def test_where_nothing_could_be_measured_it_fails(xpmlp: Any) -> None:
    _, out, err = xpmlp("bench", "--backend", "numpy:cuda", *QUICK, status=1)
    assert "failed: SettingsError: device 'cuda': NumPy has only cpu. Use …" in out
    assert "numpy:cuda failed: SettingsError: device 'cuda': NumPy has only cpu. Use another backend, such as" in err
    assert "Nothing could be measured" in err


@pytest.mark.slow
def test_interrupted_before_anything_is_measured_it_says_so_and_what_cannot_fit(
    xpmlp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("xpmlp.bench.measure.available_memory", lambda: 2**30)
    monkeypatch.setattr("xpmlp.bench.measure.measure_case", stop)
    arguments = ("bench", "--backend", "numpy", *QUICK, "--sweep", "hidden=8,100000000")
    _, out, err = xpmlp(*arguments, status=130)
    assert out == ""
    first, *_, last = err.splitlines()  # on a busy machine there is a note on its load
    assert first.startswith("note: will not be measured: 64-100000000-10, batch 128, 200 rows: needs about")
    assert last == "Error: Interrupted before anything was measured; nothing is saved."


def test_an_output_that_cannot_be_is_refused_before_anything_is_measured(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "results.json").write_text("mine")
    for name, reason in (("file", "cannot be written"), ("earlier", "already holds results")):
        refused(("bench", "--backend", "numpy", *QUICK, "-o", tmp_path / name), reason)
    assert (tmp_path / "earlier" / "results.json").read_text() == "mine"


@pytest.mark.slow
def test_force_replaces_earlier_results_and_leaves_nothing_of_theirs(xpmlp: Any, tmp_path: Path) -> None:
    sweep = ("bench", "--backend", "numpy", *QUICK, "--sweep", "batch-size=16,64", "-o", tmp_path)
    (tmp_path / "mine.txt").write_text("earlier")
    out = xpmlp(*sweep).out
    assert "batch 16" in out
    assert "batch 64" in out
    assert (tmp_path / "sweep.png").exists()
    xpmlp("bench", "--backend", "numpy", *QUICK, "-o", tmp_path, "--force")
    assert json.loads((tmp_path / "results.json").read_text())["format"] == "xpmlp benchmark"
    assert not (tmp_path / "sweep.png").exists()  # of other settings
    assert (tmp_path / "mine.txt").read_text() == "earlier"
