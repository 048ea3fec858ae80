import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xpmlp as package
from xpmlp import RECIPES
from xpmlp.cli.app import COMMANDS as SUMMARIES

Run = Callable[..., Any]

COMMANDS = tuple(SUMMARIES)


def test_the_version_is_the_packages(xpmlp: Run) -> None:
    assert xpmlp("--version") == (0, f"xpmlp {package.__version__}\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_says_where_to_start_and_what_there_is(xpmlp: Run, option: str) -> None:
    code, out, err = xpmlp(option)
    assert (code, err) == (0, "")
    for word in ("xpmlp train digits", "train", "evaluate", "predict"):
        assert word in out


def test_the_command_alone_shows_the_help(xpmlp: Run) -> None:
    finished = xpmlp()
    assert "xpmlp train digits" in finished.out
    assert "Traceback" not in finished.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["DATA", "digits", "mnist", "XPMLP_DATA_DIR", "--hidden", "--learning-rate", "--epochs", "--seed"]),
        ("train", ["--recipe", "notebook", "--output", "--force", "--quiet", "runs/", "default: default"]),
        ("evaluate", ["MODEL", "DATA", "model.safetensors", "--json"]),
        ("predict", ["MODEL", "INPUT", "--json", "--output", "--force", ".csv"]),
    ],
)
def test_each_commands_help_holds_what_a_newcomer_needs(xpmlp: Run, command: str, words: list[str]) -> None:
    code, out, _ = xpmlp(command, "--help")
    assert code == 0
    for word in words:
        assert word in out, word


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_commands_help_shows_types(xpmlp: Run, command: str) -> None:
    """To a newcomer ``--quiet <bool>`` looks as if it took a value."""
    out = xpmlp(*([command] if command else []), "--help").out
    assert "--help" in out
    assert not re.search(r"<|\[Path", out)


def test_the_help_gives_each_recipe_as_the_options_that_it_stands_for(xpmlp: Run) -> None:
    out = " ".join(xpmlp("train", "--help").out.split())
    assert "--recipe notebook stands for --hidden 128 --activation tanh --initializer normal --optimizer sgd" in out
    (options,) = re.findall(r"--recipe default stands for (.*?) --recipe", out)
    assert xpmlp("train", "digits", *options.split(), "--epochs", 1, "-o", "run", "-q").code == 0
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert record["settings"] == RECIPES["default"].to_json() | {"epochs": 1}


def test_every_choice_of_a_setting_is_in_the_help(xpmlp: Run) -> None:
    from xpmlp.nn.activations import ACTIVATIONS
    from xpmlp.nn.initializers import INITIALIZERS
    from xpmlp.training import OPTIMIZERS, RECIPES, SCHEDULES

    out = xpmlp("train", "--help").out
    for choice in (*ACTIVATIONS, *INITIALIZERS, *OPTIMIZERS, *RECIPES, *SCHEDULES, "float32", "float64"):
        assert choice in out, choice


@pytest.mark.parametrize("command", [(), ("train",), ("evaluate",), ("predict",)])
def test_help_fits_into_80_columns(xpmlp: Run, command: tuple[str, ...]) -> None:
    lines = xpmlp(*command, "--help").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian", "digits"), ["trian", "train"]),
        (("train",), ["DATA"]),
        (("train", "digits", "--lerning-rate", "1"), ["--lerning-rate", "--learning-rate"]),
        (("train", "digits", "--epochs", "ten"), ["--epochs"]),
        (("evaluate",), ["MODEL"]),
        (("predict", "model.safetensors"), ["INPUT"]),
    ],
)
def test_a_mistake_in_the_command_is_named_without_a_traceback(
    xpmlp: Run, arguments: tuple[str, ...], words: list[str]
) -> None:
    code, out, err = xpmlp(*arguments)
    assert (code, out) == (2, "")
    for word in words:
        assert word in err
    assert "Traceback" not in err


def test_the_programs_help_says_what_each_commands_help_says(xpmlp: Run) -> None:
    for name, summary in SUMMARIES.items():
        assert summary in " ".join(xpmlp(name, "--help").out.split()), name


@pytest.mark.parametrize("module", ["xpmlp.cli.console", "xpmlp.cli.app", "xpmlp.cli.evaluate"])
def test_ctrl_c_during_an_import_leaves_no_traceback(module: str) -> None:
    """In a process of its own, where nothing is imported yet."""
    code = f"""
import importlib.abc, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.argv = ["xpmlp", "evaluate", "model", "digits"]
from xpmlp.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode in (1, 130)
    assert "Traceback" not in done.stderr


def test_the_module_is_the_command(command: Run) -> None:
    assert command("--version") == (0, f"xpmlp {package.__version__}\n", "")


def test_the_installed_command_is_the_module() -> None:
    installed = Path(sys.executable).parent / ("xpmlp.exe" if sys.platform == "win32" else "xpmlp")
    if not installed.exists():
        pytest.skip(f"{installed} is not there: the package runs from its source")
    done = subprocess.run([installed, "--version"], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == f"xpmlp {package.__version__}\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_the_command_line_says_how_to_install_it(
    xpmlp: Run, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    code, out, err = xpmlp("--version")
    assert (code, out) == (1, "")
    assert err == (f'Error: The command line needs {missing}, which is not installed. Run: pip install "xpmlp[cli]"\n')


def test_the_package_trains_without_the_command_lines_libraries() -> None:
    """In a process of its own, where nothing is imported yet."""
    code = """
import importlib.abc, sys

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"typer", "rich", "polars", "pooch", "matplotlib", "PIL", "requests"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
import xpmlp
model, result = xpmlp.train(xpmlp.load_dataset("digits"))
print(result.history[-1].test_accuracy > 0.9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("arguments", [["evaluate", "{model}", "digits"], ["train", "--help"]])
def test_a_reader_who_leaves_gets_no_traceback(digits_run: Path, arguments: list[str]) -> None:
    """As in ``xpmlp evaluate … | head -1``."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "xpmlp", *(argument.format(model=digits_run) for argument in arguments)],
        stdout=writing,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    os.close(writing)
    os.close(reading)
    assert process.communicate(timeout=60)[1] == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a file on a disk that is full")
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_output_that_cannot_be_written_is_said_in_one_line(digits_run: Path, option: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "xpmlp", "evaluate", digits_run, "digits", *option],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: The output cannot be written: [Errno 28] No space left on device\n"


def test_too_little_memory_is_said_in_one_line(xpmlp: Run, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*arguments: Any, **options: Any) -> None:
        raise MemoryError("Unable to allocate 728. TiB")

    monkeypatch.setattr("xpmlp.cli.train.fit_dataset", exhaust)
    code, _, err = xpmlp("train", "digits")
    assert code == 1
    assert err == (
        "Error: There is not enough memory (Unable to allocate 728. TiB). Use less data or a smaller network.\n"
    )
    assert list(empty_folder.iterdir()) == []


def test_a_path_that_the_system_refuses_is_named(xpmlp: Run) -> None:
    path = "long" * 100
    code, out, err = xpmlp("predict", path, "picture.png")
    assert (code, out) == (1, "")
    assert path in err
    assert err.count("\n") == 1
