"""CSV files, plain or compressed with gzip or Zstandard, read by Polars."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpmlp.errors import DataError

from ..memory import check_memory
from .csv_lines import GZIP_MAGIC, ZSTD_MAGIC, blank_rows, csv_records, line_of_row, refuse_ragged
from .table import Table, import_polars

# As pandas takes them for missing.
MISSING_MARKS = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
]
SEPARATORS = (",", ";", "\t", "|")
SAMPLE_ROWS = 100
FOREIGN = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or save it as CSV",
    b"<!DO": "an HTML page: the download went wrong",
    b"<htm": "an HTML page: the download went wrong",
    b"%PDF": "a PDF document",
}


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written, told by its first line.

    Attributes
    ----------
    names
        What the columns are called where the file does not say.
    """

    separator: str
    has_header: bool
    names: tuple[str, ...] | None = None


def read_csv(path: Path) -> Table:
    """Read a CSV file; numbers of 0 to 255 take a byte each where the first rows are such.

    Raises
    ------
    DataError
        Where it is empty, holds names alone, is ragged, damaged, not UTF-8, or too large for the memory.
    """
    polars = import_polars()
    check_content(path)
    layout = None
    try:
        layout = find_layout(polars, path)
        frame = read_frame(polars, path, layout)
    except polars.exceptions.NoDataError as error:
        raise DataError(f"{path}: is empty. Give a table with a line of names and at least two rows.") from error
    except polars.exceptions.PolarsError as error:
        if layout is not None:
            refuse_ragged(path, layout.separator, polars)
        raise DataError(describe_failure(path, str(error))) from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Is the file whole?") from error
    if frame.width and frame[frame.columns[-1]].null_count():
        # Polars fills up rows that are too short, and takes a blank line for a row.
        refuse_ragged(path, layout.separator, polars)
        frame = without_blank_lines(polars, path, layout, frame)
    if frame.height == 0:
        raise DataError(f"{path}: holds a line of names and no rows. Give a table with at least two rows.")
    frame = retyped(polars, frame, decimal_comma=layout.separator == ";")
    names = [name.strip() for name in frame.columns]
    if len(set(names)) == len(names):
        frame.columns = names
    notes = repeated_names(path, layout, polars)
    if not layout.has_header:
        notes = (
            *notes,
            f"{path} has no line of names: its first line is numbers. The columns are called column_1, column_2, …",
        )
    return Table(
        name=str(path),
        frame=frame.lazy(),
        schema=dict(frame.schema),
        rows=frame.height,
        notes=notes,
        find_line=functools.partial(_find_line, path, layout),
    )


def _find_line(path: Path, layout: Layout, row: int) -> int | None:
    return line_of_row(path, layout.separator, import_polars(), has_header=layout.has_header, row=row)


def check_content(path: Path) -> None:
    """Refuse what is empty, or plainly no CSV."""
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise DataError(f"{path}: is empty. Give a table with a line of names and at least two rows.")
    if start in FOREIGN:
        raise DataError(f"{path}: is {FOREIGN[start]}. Give CSV, Parquet, Arrow or .npz.")
    is_compressed = start[:2] == GZIP_MAGIC or start == ZSTD_MAGIC
    if b"\0" in start and not is_compressed:
        raise DataError(f"{path}: is no text. Give CSV in UTF-8, Parquet, Arrow or .npz.")


def find_layout(polars: Any, path: Path) -> Layout:
    """Tell the separator, and whether the first line is names: it is not where all of it is numbers."""
    # A separator that no file has makes each line one value, also of a compressed file.
    head = polars.read_csv(
        path, n_rows=2, has_header=False, separator="\x01", quote_char=None, infer_schema=False, new_columns=["line"]
    )
    first = head["line"][0] or ""
    separator = max(SEPARATORS, key=first.count)
    cells = polars.Series(first.split(separator)).str.strip_chars().str.strip_chars('"')
    if cells.cast(polars.Float64, strict=False).null_count():
        return Layout(separator, has_header=True)
    return Layout(separator, has_header=False, names=tuple(f"column_{i + 1}" for i in range(len(cells))))


def read_frame(polars: Any, path: Path, layout: Layout) -> Any:
    """Read all cells, each column of the type of its first values where all can be read so."""
    arguments: dict[str, Any] = {"separator": layout.separator, "has_header": layout.has_header}
    if layout.names is not None:
        arguments["new_columns"] = list(layout.names)
    # Comparing every cell with every mark would take most of the time. In columns of numbers only a second reading
    # looks for marks; in columns of text `retyped` does.
    sample = polars.read_csv(
        path,
        n_rows=SAMPLE_ROWS,
        infer_schema_length=SAMPLE_ROWS,
        null_values=MISSING_MARKS,
        ignore_errors=True,  # of the rows after these, some of which are parsed too
        **arguments,
    )
    schema = dict(sample.schema)
    for name in schema:
        if schema[name] == polars.Int64 and sample[name].min() >= 0 and sample[name].max() <= 255:
            schema[name] = polars.UInt8
    check_size(path, polars, sample, schema)
    try:
        return polars.read_csv(path, schema_overrides=schema, **arguments)
    except polars.exceptions.ComputeError:
        # Columns in which some value is of another type than the first ones are read again, as text.
        frame = polars.read_csv(path, schema_overrides=schema, ignore_errors=True, **arguments)
        doubtful = [name for name in frame.columns if frame[name].null_count() and frame[name].dtype != polars.String]
        as_text = polars.read_csv(path, columns=doubtful, infer_schema=False, **arguments)
        return frame.with_columns(as_text)


def without_blank_lines(polars: Any, path: Path, layout: Layout, frame: Any) -> Any:
    """Return the frame without blank lines; a line of separators alone is a row, without values."""
    if frame.width == 1 or not frame.select(polars.all_horizontal(polars.all().is_null()).any()).item():
        return frame
    is_row = np.ones(frame.height, dtype=np.bool_)
    is_row[
        [row for row in blank_rows(path, layout.separator, polars, has_header=layout.has_header) if row < len(is_row)]
    ] = False
    return frame.filter(is_row)


def retyped(polars: Any, frame: Any, *, decimal_comma: bool) -> Any:
    """Return the frame with its texts as whole numbers or numbers where all of a column's are; others stripped."""
    columns = []
    for name, dtype in frame.schema.items():
        if dtype != polars.String:
            continue
        text = frame[name].str.strip_chars()
        text = text.set(text.is_in(MISSING_MARKS), None)
        columns.append(text)
        numeric = text.str.replace(",", ".", literal=True) if decimal_comma else text
        for kind in (polars.Int64, polars.Float64):
            values = numeric.cast(kind, strict=False)
            if values.null_count() == text.null_count() < len(text):
                columns[-1] = values
                break
    return frame.with_columns(columns)


def check_size(path: Path, polars: Any, sample: Any, schema: dict[str, Any]) -> None:
    """Refuse a file that cannot fit in the memory, before Polars tries."""
    if sample.height == 0:
        return
    text = len(sample.write_csv(include_header=False)) / sample.height
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == GZIP_MAGIC:
        # The last four bytes are the content's size, modulo 4 GiB.
        with path.open("rb") as file:
            file.seek(-4, 2)
            size = max(size, int.from_bytes(file.read(4), "little"))
    elif magic == ZSTD_MAGIC:
        size *= 4
    rows = size / text
    width = sum(1 if dtype == polars.UInt8 else 16 if dtype == polars.String else 8 for dtype in schema.values())
    check_memory(
        int(rows * (width + 4 * len(schema))),
        what=str(path),
        remedy="Save it as Parquet, which is read in parts, take fewer columns with --features, or fewer rows.",
    )


def repeated_names(path: Path, layout: Layout, polars: Any) -> tuple[str, ...]:
    """Say so where two columns have the same name."""
    if not layout.has_header:
        return ()
    _, names = next(csv_records(path, layout.separator, polars), (0, []))
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if not repeated:
        return ()
    return (
        f"{path}: several columns are called {', '.join(repeated)}; the later ones got _duplicated_0, … at the end.",
    )


def describe_failure(path: Path, message: str) -> str:
    """Say in words why Polars could not read a file."""
    first = message.splitlines()[0] if message else "no reason given"
    if "utf-8" in first.lower():
        return f"{path}: is not UTF-8 text. Save it as CSV in UTF-8."
    return f"{path}: cannot be read as CSV ({first}). Is it a table with a separator between the values, and whole?"
