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
from xpmlp.cli.app import COMMANDS
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.training import OPTIMIZERS, RECIPES, SCHEDULES

Run = Callable[..., Any]


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_the_help_says_where_to_start_and_what_there_is(xpmlp: Run, arguments: tuple[str, ...]) -> None:
    finished = xpmlp(*arguments, status=None)
    assert "Traceback" not in finished.err
    for word in ("xpmlp train digits", *COMMANDS, *COMMANDS.values()):
        assert word in " ".join(finished.out.replace("│", "").split())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["DATA", "digits", "mnist", "XPMLP_DATA_DIR", "--hidden", "--learning-rate", "--epochs", "--seed"]),
        ("train", ["--recipe", "notebook", "--output", "--force", "--quiet", "runs/", "default: default"]),
        ("train", [*ACTIVATIONS, *INITIALIZERS, *OPTIMIZERS, *RECIPES, *SCHEDULES, "float32", "float64"]),
        ("evaluate", ["MODEL", "DATA", "model.safetensors", "--json"]),
        ("predict", ["MODEL", "INPUT", "--json", "--output", "--force", ".csv"]),
        *((name, [summary]) for name, summary in COMMANDS.items()),
    ],
)
def test_each_commands_help_holds_what_a_newcomer_needs_and_no_types(
    xpmlp: Run, command: str, words: list[str]
) -> None:
    """To a newcomer ``--quiet <bool>`` looks as if it took a value."""
    out = xpmlp(command, "--help").out
    for word in words:
        assert word in " ".join(out.split()), word
    assert not re.search(r"<|\[Path", out)
    assert "…" not in out.replace("=…", "")  # nothing is cut
    assert max(map(len, out.splitlines())) <= 80


def test_the_help_gives_each_recipe_as_the_options_that_it_stands_for(xpmlp: Run, no_pictures: None) -> None:
    out = " ".join(xpmlp("train", "--help").out.split())
    assert "--recipe notebook stands for --hidden 128 --activation tanh --initializer normal --optimizer sgd" in out
    (options,) = re.findall(r"--recipe default stands for (.*?) --recipe", out)
    xpmlp("train", "digits", *options.split(), "--epochs", 1, "-o", "run", "-q")
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert record["settings"] == RECIPES["default"].to_json() | {"epochs": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian", "digits"), ["trian", "train"]),
        (("train",), ["DATA"]),
        (("train", "digits", "--lerning-rate", "1"), ["--lerning-rate", "--learning-rate"]),
        (("train", "digits", "--max-iter", "9"), ["--epochs"]),
        (("train", "a.csv", "b.csv"), ["b.csv", "named by --target"]),
        (("train", "digits", "--epochs", "ten"), ["--epochs", "'ten' is not a whole number"]),
        (("train", "digits", "--learning-rate", "low"), ["--learning-rate", "'low' is not a number"]),
        (("train", "digits", "--folds", "1"), ["--folds", "'1' is less than 2"]),
        (("train", "digits", "--threads", "0"), ["--threads", "'0' is less than 1"]),
        (("evaluate",), ["MODEL"]),
        (("predict", "model.safetensors"), ["INPUT"]),
    ],
)
def test_a_mistake_in_the_command_is_named_without_a_traceback(
    xpmlp: Run, arguments: tuple[str, ...], words: list[str]
) -> None:
    _, out, err = xpmlp(*arguments, status=2)
    assert out == ""
    for word in words:
        assert word in err
    assert "Traceback" not in err


@pytest.mark.parametrize("module", ["xpmlp.cli.console", "xpmlp.cli.evaluate"])
def test_ctrl_c_during_an_import_leaves_no_traceback(command: Run, module: str) -> None:
    """In a process of its own, where nothing is imported yet."""
    code = f"""
import importlib.abc, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from xpmlp.cli import main
main()
"""
    done = command("evaluate", "model", "digits", code=code)
    assert done.code in (1, 130)
    assert "Traceback" not in done.err


def test_the_module_and_the_installed_command_are_the_same(command: Run) -> None:
    expected = f"xpmlp {package.__version__}\n"
    assert command("--version") == (0, expected, "")
    installed = Path(sys.executable).parent / ("xpmlp.exe" if sys.platform == "win32" else "xpmlp")
    if installed.exists():  # the package may run from its source
        assert subprocess.check_output([installed, "--version"], encoding="utf-8") == expected


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_the_command_line_says_how_to_install_it(
    xpmlp: Run, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    message = f'Error: The command line needs {missing}, which is not installed. Run: pip install "xpmlp[cli]"\n'
    assert xpmlp("--version", status=1) == (1, "", message)


def test_the_package_trains_without_the_command_lines_libraries(command: Run) -> None:
    """In a process of its own, where nothing is imported yet."""
    code = """
import importlib.abc, sys

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"typer", "rich", "polars", "pooch", "matplotlib", "PIL", "requests"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
import xpmlp
model, result = xpmlp.train("digits", verbose=False)
print(result.history[-1].test_accuracy > 0.9)
"""
    assert command(code=code) == (0, "True\n", "")


@pytest.mark.parametrize("arguments", [["predict", "{model}", "digits"], ["train", "--help"]])
def test_a_reader_who_leaves_gets_no_traceback(command: Run, digits_run: Path, arguments: list[str]) -> None:
    """As in ``xpmlp predict … | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        assert command(*(argument.format(model=digits_run) for argument in arguments), stdout=pipe).err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a file on a disk that is full")
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_output_that_cannot_be_written_is_said_in_one_line(
    command: Run, digits_run: Path, option: tuple[str, ...]
) -> None:
    with open("/dev/full", "w") as full:
        code, _, err = command("predict", digits_run, "digits", *option, stdout=full)
    assert code == 1
    assert err == "Error: The output cannot be written: [Errno 28] No space left on device\n"


def test_too_little_memory_is_said_in_one_line(xpmlp: Run, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*arguments: Any, **options: Any) -> None:
        raise MemoryError("Unable to allocate 728. TiB")

    monkeypatch.setattr("xpmlp.cli.train.fit_dataset", exhaust)
    err = xpmlp("train", "digits", status=1).err
    assert err == (
        "Error: There is not enough memory (Unable to allocate 728. TiB). Use less data or a smaller network.\n"
    )
    assert list(empty_folder.iterdir()) == []
