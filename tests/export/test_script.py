"""Exported Python files: they run isolated from everything but NumPy; see test_export.py for what they predict."""

import ast
import csv
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

import xpmlp
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.loading import rows_to_predict
from xpmlp.datasets.tables.table import Table
from xpmlp.export import to_script

# Run a file as a command; other installed packages must not be imported.
GUARD = """
import runpy
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in {"numpy", *sys.stdlib_module_names}:
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_file(source: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    (folder / "network.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-I", "-c", GUARD, "network.py", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=120, check=False)


def imported(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "network"}
    exec(compile(source, "network.py", "exec"), namespace)
    return namespace


def test_samples_may_come_as_images_or_rows_or_one_alone(make_model: Any) -> None:
    network = imported(to_script(make_model(input_shape=(4, 5), input_scale=255.0)))
    samples = np.random.default_rng(0).integers(0, 256, (300, 4, 5))
    expected = network["predict"](samples)
    np.testing.assert_array_equal(network["predict"](samples.reshape(300, 20)), expected)
    np.testing.assert_array_equal(network["predict"](samples[0]), expected[:1])
    for shape in ((300, 5, 4), (300, 21), (20,), (1, 1, 4, 5)):
        with pytest.raises(ValueError, match=r"expected \(rows, 4, 5\)"):
            network["predict"](np.zeros(shape))


# Tables


def test_a_table_may_be_lists_or_a_data_frame(
    table_model: Any, mixed_schema: Any, mixed_table: dict[str, list[Any]]
) -> None:
    network, frame = imported(to_script(table_model)), pl.DataFrame(mixed_table)
    x = rows_to_predict(Table.of("table", frame), mixed_schema).x
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    for table in (mixed_table, frame, pandas.DataFrame(mixed_table)):
        np.testing.assert_allclose(network["prepare"](table), x, rtol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": None}, "columns are missing: height"),
        ({"grade": ["1", "2", None, "4", "1"]}, "row 3, column 'grade': the value is missing"),
        ({"height": ["tall", 1, 1, 1, 1]}, "column 'height': 'tall' is not a number"),
        ({"height": [1e300, 1, 1, 1, 1]}, "too large"),
    ],
)
# NumPy warns, too, if a number is too large for float32.
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_table_that_does_not_fit_is_refused(
    table_model: Any, mixed_table: dict[str, list[Any]], change: dict[str, Any], message: str
) -> None:
    table = {name: values for name, values in (mixed_table | change).items() if values is not None}
    strict = replace(table_model, table_schema=msgspec.structs.replace(table_model.table_schema, missing="mean"))
    with pytest.raises(ValueError, match=message):
        imported(to_script(strict))["predict"](table)


def test_text_among_numbers_is_missing_as_in_predict(table_model: Any, mixed_table: dict[str, list[Any]]) -> None:
    network = imported(to_script(table_model))
    wrong, missing = ({**mixed_table, "age": [value, 20.0, 30.0, 40.0, 50.0]} for value in ("old", None))
    np.testing.assert_array_equal(network["prepare"](wrong), network["prepare"](missing))


# On the command line


def assert_writes(finished: subprocess.CompletedProcess[str], expected: Any) -> None:
    assert finished.returncode == 0, finished.stderr
    names, *rows = csv.reader(io.StringIO(finished.stdout))
    assert names == ["prediction", "probability_0", "probability_1", "probability_2"]
    assert [int(row[0]) for row in rows] == expected.labels.tolist()
    np.testing.assert_allclose([[float(cell) for cell in row[1:]] for row in rows], expected.probabilities, atol=1e-6)


def test_it_reads_npy_and_csv_and_writes_csv_with_nothing_but_numpy(make_model: Any, tmp_path: Path) -> None:
    assert "sklearn was imported" in run_file("import sklearn", tmp_path).stderr
    model = make_model(input_shape=(2, 3), input_scale=255.0)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 2, 3))
    np.save(tmp_path / "pixels.npy", pixels)
    np.savetxt(tmp_path / "bare.csv", pixels.reshape(20, 6), fmt="%d", delimiter=",")
    (tmp_path / "named.csv").write_text("a,b,c,d,e,f\n" + (tmp_path / "bare.csv").read_text())
    expected = xpmlp.predict(model, (pixels.reshape(20, 6) / 255).astype(np.float32), prepared=True)
    for name in ("pixels.npy", "bare.csv", "named.csv"):
        assert_writes(run_file(to_script(model), tmp_path, name), expected)


def test_a_csv_gives_what_the_command_line_gives(
    table_model: Any, mixed_schema: Any, mixed_table: dict[str, list[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "my table.csv"
    path.write_text("Report of 2026\n\n" + pl.DataFrame(mixed_table).write_csv(), encoding="utf-8")
    x = rows_to_predict(read_table(path), mixed_schema).x
    assert_writes(run_file(to_script(table_model), tmp_path, path), xpmlp.predict(table_model, x, prepared=True))


def test_a_file_that_cannot_be_used_is_a_line_and_no_traceback(make_model: Any, tmp_path: Path) -> None:
    (tmp_path / "text.csv").write_text("a\nb\n", encoding="utf-8")
    np.save(tmp_path / "wide.npy", np.zeros((3, 7)))
    for name, reason in (("absent.npy", "No such file"), ("text.csv", "could not convert"), ("wide.npy", "expected")):
        finished = run_file(to_script(make_model()), tmp_path, name)
        assert (finished.returncode, finished.stdout) == (1, "")
        assert finished.stderr.startswith(f"{name}: ")
        assert reason in finished.stderr
        assert "Traceback" not in finished.stderr


# As source


@pytest.mark.parametrize(
    "classes",
    [(1, "one"), (2**70, 0), ('"""', "\\"), ("'''\n", "{x}"), ("a\udcff", "ä\N{GRINNING FACE}"), ("NaN", "$weights")],
)
def test_names_of_any_kind_come_back_as_they_were(make_model: Any, classes: tuple[int | str, ...]) -> None:
    model = make_model(classes=classes)
    network = imported(to_script(model).encode().decode())
    assert network["CLASSES"] == classes
    x = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    assert network["predict"](x).tolist() == xpmlp.predict(model, x, prepared=True).labels.tolist()


def test_it_can_be_read(make_model: Any, table_model: Any) -> None:
    """No line is longer than 120 characters, every function has a docstring, and no placeholder is left."""
    assert "python reader.py" in to_script(make_model(), "reader")
    assert "import network\n" in to_script(make_model(), "no-module's name")
    many = tuple(f"class number {index}" for index in range(47))
    for model in (make_model(classes=many, input_shape=(28, 28)), table_model):
        source = to_script(model)
        assert max(map(len, source.splitlines())) <= 120
        tree = ast.parse(source)
        assert ast.get_docstring(tree)
        assert all(ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef))
        assert "$" not in source
        assert "PROBABILITIES" not in source


def test_magnitudes_and_infinite_values_are_read_as_in_predict(tmp_path: Path) -> None:
    values = [f"€{index + 0.5}{'M' if index % 3 else 'K'}" for index in range(60)]
    table: dict[str, list[Any]] = {"value": values, "size": [index % 7 + 0.5 for index in range(60)]}
    rows = [f"{a},{b},{index % 2}\n" for index, (a, b) in enumerate(zip(*table.values(), strict=True))]
    (tmp_path / "data.csv").write_text("value,size,y\n" + "".join(rows), encoding="utf-8")
    model, _ = xpmlp.train(tmp_path / "data.csv", recipe=xpmlp.Recipe(hidden_layer_sizes=(4,), epochs=1))
    table["size"][3] = np.inf
    with pytest.warns(UserWarning, match="missing values"), pytest.warns(UserWarning, match="inf is infinite"):
        expected = xpmlp.predict(model, table).probabilities
    np.testing.assert_allclose(imported(to_script(model))["predict_probabilities"](table), expected, rtol=1e-5)


def test_text_in_a_format_of_accounts_is_read_as_in_training() -> None:
    cells = ["1.234,50- €", "12,- €", "(3,5 €)", "7,25 €"]
    frame = pl.DataFrame({"profit": cells * 10, "y": [1.0, 2.5, 3.5, 4.5] * 10})
    model, _ = xpmlp.train(frame, target="y", task="regression", epochs=1, verbose=False)
    predicted = imported(to_script(model))["predict"]({"profit": frame["profit"].to_list()})
    np.testing.assert_allclose(predicted, xpmlp.predict(model, frame).labels, rtol=1e-5)
