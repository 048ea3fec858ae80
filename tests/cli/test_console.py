import pytest

from xpmlp.cli.console import describe_prediction, make_console, make_table, print_error, print_notes

ODD = "[red]a[/red] [/] :smile: [link=x]y 🚀 C:\\new\\[bold]"


def test_text_is_printed_as_it_is_but_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like rich's markup or emoji codes is part of a file's name; a long line stays one line."""
    make_console(quiet=True).print(ODD)
    assert capsys.readouterr() == ("", "")
    table = make_table("", ODD, "b\x1b[31m")
    table.add_row(ODD, "c\x1b[31m\x07\x9b")
    for shown in (ODD, "word " * 400, table):
        make_console().print(shown)
    print_error(ODD)
    print_notes("d\x1b]0;title\x07\nnext")
    captured = capsys.readouterr()
    first, second, *rows = captured.out.splitlines()
    assert (first, second) == (ODD, "word " * 400)
    assert "\n".join(rows).count(ODD) == 2
    for text in (r"b\x1b[31m", r"c\x1b[31m\x07\x9b"):
        assert text in "\n".join(rows)
    assert captured.err == f"Error: {ODD}\nnote: d\\x1b]0;title\nnext\n"  # rich drops the bell itself


@pytest.mark.parametrize(
    ("value", "text"),
    [(1142750.4, "1142750"), (-99999.96, "-100000"), (968600.0, "968600"), (0.01234567, "0.0123457"), (2e13, "2e+13")],
)
def test_predicted_amounts_are_written_in_full(value: float, text: str) -> None:
    assert describe_prediction(value) == text
