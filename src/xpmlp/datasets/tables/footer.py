"""Lines after a table in a text file: totals, sources, remarks."""

import re
from dataclasses import replace

from .layout import Layout, Record, is_padded_text, is_value, split_records
from .options import TableOptions
from .text_file import SAMPLE_BYTES, Text

TOTAL = re.compile(r"((grand |sub)?total|(overall )?(sum|mean|average)|summe|gesamt|insgesamt|somme):?", re.IGNORECASE)
END_OF_FILE = b"\x1a"  # as old programs of DOS write it
FEWEST_ROWS = 3
WELL_FORMED = 0.9  # share of the rows before a footer, in a part of a large file


def without_footer(text: Text, layout: Layout, options: TableOptions) -> tuple[Text, str | None]:
    """Return a text without the lines after its table, and a note on them."""
    whole = text.content[-SAMPLE_BYTES:]
    start = len(text.content) - len(whole)
    tail = whole.rstrip().removesuffix(END_OF_FILE) if whole.rstrip().endswith(END_OF_FILE) else whole
    lines = tail.splitlines(keepends=True)
    skipped = 1 if start else layout.first_line  # a part of a line, or all that is before the table
    decoded = [line.decode("utf-8", "replace") for line in lines[skipped:]]
    records = list(split_records(decoded, layout.separator, layout.comment, skipped))
    if options.skip_footer is None:
        first = find_footer(records, len(layout.names), is_part=start > 0, is_cut=not tail.endswith((b"\n", b"\r")))
    else:
        filled = [index for index, record in enumerate(records) if record.cells]
        first = filled[-options.skip_footer] if 0 < options.skip_footer < len(filled) else len(records)
    size = sum(map(len, lines[: records[first].start] if first < len(records) else lines))
    if size == len(whole):
        return text, None
    left_out = [line.decode("utf-8", "replace").strip() for line in tail[size:].splitlines() if line.strip()]
    kept = replace(text, content=text.content[: start + size])
    if not left_out or options.skip_footer:
        return kept, None
    count = f"{len(left_out):,} line{'s' if len(left_out) > 1 else ''}"
    return kept, f"left out, after the table: {count}, {left_out[0][:60]!r}; keep them with --skip-footer 0"


def find_footer(records: list[Record], width: int, *, is_part: bool, is_cut: bool) -> int:
    """Return the index of the first record after a table of that width, or the number of records.

    It is a row that begins with the word "total" or the like, as no other does, or a blank line or text in fewer cells.
    A file that was cut in the middle of its last line has no footer.
    """
    rows = [index for index, record in enumerate(records) if len(record.cells) >= width]
    end = len(records)
    while end and (not any(map(str.strip, cells := records[end - 1].cells)) or (width > 2 and is_padded_text(cells))):
        end -= 1
    blank = next((index for index in range(end, len(records)) if not any(map(str.strip, records[index].cells))), None)
    if blank is not None and any(record.cells and record.cells[0].strip() for record in records[blank:]):
        rows = [index for index in rows if index < blank]
    if width == 1 or len(rows) < FEWEST_ROWS:
        return len(records)
    first = rows[-1] + 1
    filled = [record.cells for record in records[first:] if record.cells]
    is_separate = bool(filled) and not records[first].cells
    is_text = len(filled) > is_cut and not any(is_value(cells[0].strip()) for cells in filled)
    is_whole = not is_part or len(rows) >= WELL_FORMED * sum(bool(record.cells) for record in records[:first])
    if filled and not ((is_separate or is_text) and is_whole):
        return len(records)
    words = [
        next(((place, cell) for place, cell in enumerate(records[row].cells) if cell.strip()), None) for row in rows
    ]
    while len(words) >= FEWEST_ROWS and (last := words.pop()) is not None:
        if TOTAL.fullmatch(last[1].strip()) is None or last in words:
            break
        first = rows.pop()
    return first
