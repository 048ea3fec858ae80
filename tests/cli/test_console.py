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


@pytest.mark.parametrize(
    ("value", "text"),
    [(1142750.4, "1142750"), (-99999.96, "-100000"), (968600.0, "968600"), (0.01234567, "0.0123457"), (2e13, "2e+13")],
)
def test_predicted_amounts_are_written_in_full(value: float, text: str) -> None:
    assert describe_prediction(value) == text
