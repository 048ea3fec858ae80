"""What README and docs show can be typed as it stands: Python runs, commands have the options that they are given."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONAL = ("cupy", "torch", "jax", "mpi4py", "onnx", "onnxruntime", "optuna")


def blocks(page: Path, *languages: str) -> list[str]:
    """The code of a page in these languages."""
    return [code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(page: Path) -> Iterator[str]:
    """Each call of xpmlp that a page shows, with what the shell would hand to it."""
    for code in blocks(page, "bash", "console", "shell", "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\||;", line.removeprefix("$ ")):
                words = part.split("#")[0].strip()
                if words.startswith("xpmlp "):
                    yield words


PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]
MEASURED = re.compile(r"^<!-- (benchmarks/results/\S+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
COMMANDS = sorted({(page.name, command) for page in PAGES for command in commands(page)})


@pytest.mark.slow
@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for code in blocks(page, "python"):
        try:
            exec(compile(code, str(page), "exec"), namespace)
        except ImportError as error:
            missing = next((name for name in OPTIONAL if name in str(error).lower()), None)
            if missing is None:
                raise
            print(f"{page.name}: {missing} is not installed, so what uses it is not run")


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_has_the_options_that_a_page_gives_it(page: str, line: str) -> None:
    from xpmlp.cli.app import app

    group: Any = typer.main.get_command(app)
    name, *arguments = shlex.split(line.replace("…", ""))[1:]
    if name.startswith("-"):
        group.make_context("xpmlp", [name, *arguments], resilient_parsing=True)
        return
    assert name in group.commands, f"{page}: there is no command {name}"
    command = group.get_command(None, name)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in arguments if word.startswith("-") and not word[1:2].isdigit()]
    assert set(given) <= known | {"--help", "-h"}, f"{page}: {line}"
    command.make_context(name, arguments, resilient_parsing=True)


def test_pages_that_another_page_points_to_are_there() -> None:
    link = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in link.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not missing


def test_a_table_of_measurements_is_the_one_that_was_measured() -> None:
    shown = MEASURED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown
    for file, table in shown:
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        assert table.splitlines() == [line for line in lines if line.startswith("|")], file
