"""The examples run from top to bottom as they stand, and what they show is what they say."""

import json
import os
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "mnist_from_scratch.ipynb"
LESSON = NOTEBOOK.with_name("from_nothing.ipynb")
# What a reader on GitHub loads; there, notebooks above a megabyte are slow to show.
MOST_BYTES = 600_000


def read_cells(kind: str, field: str = "source", notebook: Path = NOTEBOOK) -> list[Any]:
    """Return the sources or the outputs of a notebook's cells of one kind."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [cell[field] for cell in content["cells"] if cell["cell_type"] == kind]


def markdown(notebook: Path = NOTEBOOK) -> str:
    return "\n".join("".join(source) for source in read_cells("markdown", notebook=notebook))


@pytest.mark.slow
def test_the_notebooks_cells_run_on_the_embedded_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A machine without MNIST and without a network: the embedded digits stand in.
    monkeypatch.delenv("XPMLP_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    shown: list[bytes] = []
    display: Any = types.ModuleType("IPython.display")
    display.Image = lambda data, width: shown.append(data)
    ipython: Any = types.ModuleType("IPython")
    ipython.version_info, ipython.get_ipython = (9, 0, 0), lambda: None  # matplotlib asks for them
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for code in read_cells("code"):
        exec(compile("".join(code), NOTEBOOK.name, "exec"), namespace)
    out = capsys.readouterr().out
    assert "stand in" in out
    assert "on 100 % of the images" in out
    assert len(shown) == 4
    assert all(png.startswith(b"\x89PNG") for png in shown)


@pytest.mark.slow
# Jupyter's own packages warn of what they will change.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", [NOTEBOOK, LESSON], ids=lambda path: path.stem)
def test_a_notebook_runs_in_jupyter_on_real_data(path: Path, mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("XPMLP_DATA_DIR", str(mnist_dir.parent))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    notebook = nbformat.read(path, as_version=4)
    # Of each cell; all of them together took 43 seconds on two busy cores.
    nbclient.NotebookClient(notebook, timeout=120).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    if path == LESSON:
        check_lesson(outputs)
        return
    assert float(re.findall(r"epoch 10/10 .*accuracy (\d\.\d+)", text)[0]) > 0.94
    assert float(re.findall(r"epoch 3/3 .*accuracy (\d\.\d+)", text)[0]) > 0.975


def check_lesson(outputs: list[Any]) -> None:
    """Check the lesson's numbers: the step helps, gradients are what they claim to be, and digits are recognised."""
    text = "".join("".join(output.get("text", "")) for output in outputs)
    before, after = re.findall(r"loss (?:before|after) the step +(\d\.\d+)", text)
    assert float(after) < float(before)
    (measured,), (computed,) = re.findall(r"measured (\S+)", text), re.findall(r"computed (\S+)", text)
    assert float(measured) == pytest.approx(float(computed), abs=2e-5)
    assert float(re.findall(r"(\S+) % of the points", text)[0]) > 98.0
    shown = "".join("".join(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert float(re.findall(r"Report\(accuracy (\S+) %", shown)[0]) > 97.0
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4


def test_the_lesson_holds_what_it_says_with_equations_of_the_derivation() -> None:
    check_lesson([output for cell in read_cells("code", "outputs", LESSON) for output in cell])
    derivation = (NOTEBOOK.parent.parent / "docs" / "derivation.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\\tag\{(\w+)\}", markdown(LESSON)))
    assert {"1", "2", "10", "11"} <= used <= set(re.findall(r"\\tag\{(\w+)\}", derivation))


def test_what_the_notebook_shows_is_of_mnist_and_supports_what_it_says() -> None:
    outputs = [output for cell in read_cells("code", "outputs") for output in cell]
    assert not [output for output in outputs if output["output_type"] == "error"]
    text = "".join("".join(output.get("text", [])) for output in outputs)
    assert float(re.findall(r"epoch 10/10 .*accuracy (\d\.\d+)", text)[0]) > 0.938  # the original's, after ten epochs
    measured, derived, slipped = (
        float(re.findall(rf"{name} +(-?[\d.]+)", text)[0]) for name in ("measured", "derived", "slipped")
    )
    assert measured == pytest.approx(derived, rel=1e-7)
    assert abs(slipped - derived) > 0.5 * abs(derived)
    assert "10,000 rows, 785 columns" in text


def test_the_notebooks_equations_are_those_of_the_derivation() -> None:
    derivation = (NOTEBOOK.parent.parent / "docs" / "derivation.md").read_text(encoding="utf-8")
    tags = set(re.findall(r"\\tag\{(\w+)\}", derivation))
    used = {tag.strip() for found in re.findall(r"\\tag\{([\w, ]+)\}", markdown()) for tag in found.split(",")}
    assert used >= {"1", "2", "3", "10", "11", "13", "14", "15", "16", "17", "22", "23"}
    assert used <= tags


def test_every_cell_of_the_original_has_its_place() -> None:
    told: set[int] = set()
    for heading in re.findall(r"^## (In .*?):", markdown(), re.MULTILINE):
        numbers = [int(number) for number in re.findall(r"\[(\d+)\]", heading)]
        told |= set(range(numbers[0], numbers[-1] + 1))
    assert told == set(range(1, 26))


@pytest.mark.parametrize("path", [NOTEBOOK, LESSON], ids=lambda path: path.stem)
def test_a_notebook_is_small_enough_to_be_shown(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    assert "/tmp" not in path.read_text(encoding="utf-8")
