"""Lines after a table are left out, with a note; files that were cut short are not taken for such."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.options import TableOptions
from xpmlp.errors import DataError

Write = Callable[..., Path]
ROWS = "item,qty,price\n" + "".join(f"i{i % 7},{i},{i * 1.5}\n" for i in range(1, 31))
MANY = ROWS + "".join(f"z{i % 50},{i},{i * 2.5}\n" for i in range(9000))


@pytest.mark.parametrize(
    ("text", "rows", "first"),
    [
        (ROWS, 30, ""),
        (ROWS + "Total,,123\n", 30, "1 line, 'Total,,123'"),
        (ROWS + "\nGrand total:,465,697.5\n", 30, "1 line, 'Grand total:,465,697.5'"),
        (ROWS + "\nSource: me\nData as of 2026, revised\n", 30, "2 lines, 'Source: me'"),
        (ROWS + '\n\n* estimated, "roughly\n', 30, "1 line, '* estimated"),
        (ROWS + "TOTAL,1,2\n\n* estimated\n", 30, "2 lines, 'TOTAL,1,2'"),
        (MANY + "\nSource: me\n", 9030, "1 line, 'Source: me'"),
        (ROWS.replace("\n", "\r") + "Total,,5\r", 30, "1 line, 'Total,,5'"),
        (ROWS.replace(",", ";") + "Summe;;5\n", 30, "1 line, 'Summe;;5'"),
        (ROWS + "Total,5,6\nTotal,7,8\n", 32, ""),
        (ROWS + '"a\nb",5,6\n', 31, ""),
        (ROWS.rstrip() + "\x1a", 30, ""),
        (ROWS + "\n\n", 30, ""),
    ],
)
def test_lines_after_the_table_are_left_out(write: Write, text: str, rows: int, first: str) -> None:
    table = read_table(write(text))
    assert table.rows == rows
    assert table.column("qty").dtype.is_integer()
    assert ("left out, after the table: " + first in "".join(table.notes)) == bool(first)
    assert bool(table.notes) == bool(first)


@pytest.mark.parametrize("end", ["i3", "i3,5", "7,5\n"])
def test_a_file_that_was_cut_short_is_refused(write: Write, end: str) -> None:
    with pytest.raises(DataError, match=rf"row 31 \(line 32\) has {end.count(',') + 1} values"):
        read_table(write(ROWS + end))


def test_options_keep_or_leave_out_lines(write: Write) -> None:
    path = write(ROWS + "Total,465,697.5\n")
    assert read_table(path, TableOptions(skip_footer=0)).rows == 31
    taken = read_table(path, TableOptions(skip_footer=3))
    assert (taken.rows, taken.notes) == (28, ())
    with pytest.raises(DataError, match=r"because of --strict: left out, after the table.*--skip-footer 0"):
        read_table(path, TableOptions(strict=True))
