import io
from typing import Any

import pytest

from xpmlp.cli.console import describe_prediction, make_console, make_table, print_error, print_note

ODD = "[red]a[/red] [/] :smile: [link=x]y 🚀 C:\\new\\[bold]"


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like rich's markup or emoji codes is part of a file's name."""
    table = make_table("", ODD)
    table.add_row(ODD)
    make_console().print(ODD)
    make_console().print(table)
    print_error(ODD)
    print_note(ODD)
    captured = capsys.readouterr()
    first, *rows = captured.out.splitlines()
    assert (first, "\n".join(rows).count(ODD)) == (ODD, 2)
    assert captured.err == f"Error: {ODD}\nnote: {ODD}\n"


def test_control_characters_of_names_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = make_table("a\x1b[31m", "b\x1b[31m")
    table.add_row("c\x1b[31m\x07\x9b")
    make_console().print(table)
    print_note("d\x1b]0;title\x07\nnext")
    captured = capsys.readouterr()
    for text in (r"a\x1b[31m", r"b\x1b[31m", r"c\x1b[31m\x07\x9b"):
        assert text in captured.out
    assert captured.err == "note: d\\x1b]0;title\nnext\n"  # rich drops the bell itself


def test_a_long_line_stays_one_line_and_a_quiet_console_writes_none(capsys: pytest.CaptureFixture[str]) -> None:
    make_console(quiet=True).print("something")
    assert capsys.readouterr() == ("", "")
    make_console().print("word " * 400)
    print_error("word " * 400)
    captured = capsys.readouterr()
    assert captured.out.count("\n") == captured.err.count("\n") == 1


class Broken(io.StringIO):
    """A stream that takes one write, as a pipe does whose reader leaves."""

    def __init__(self, file: Any, error: OSError) -> None:
        super().__init__()
        self.file, self.error = file, error

    def write(self, text: str) -> int:
        if self.getvalue():
            raise self.error
        return super().write(text)

    def fileno(self) -> int:
        return int(self.file.fileno())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BrokenPipeError(32, "Broken pipe"), ""),
        (OSError(28, "No space left on device"), "note: the output cannot be written (No space left on device); "),
    ],
)
def test_a_lasting_console_goes_silent_instead_of_failing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    with (tmp_path / "stdout").open("w") as file:
        stream = Broken(file, error)
        monkeypatch.setattr("sys.stdout", stream)
        console = make_console(tolerant=True)
        console.print("first")
        console.print("second")
        assert stream.getvalue() == "first\n"
        # What is still written to the file that broke goes nowhere from now on.
        file.write("more")
    assert (tmp_path / "stdout").read_text() == ""
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1142750.4, "1142750"), (-99999.96, "-100000"), (968600.0, "968600"), (0.01234567, "0.0123457"), (2e13, "2e+13")],
)
def test_predicted_amounts_are_written_in_full(value: float, text: str) -> None:
    assert describe_prediction(value) == text
