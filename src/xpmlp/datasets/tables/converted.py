"""Files of other programs as the text of a CSV file: spreadsheets, JSON, ARFF and LIBSVM.

From there on their cells are those of a CSV file: titles, totals, money, dates and missing markers are found.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from xpmlp.errors import DataError
from xpmlp.optional_imports import import_optional

from ..dataset import listing
from ..memory import check_memory
from .table import Table, import_polars, polars_errors, silent_panics

SPACE_FOR_CELLS = 8  # cells in memory take about as many times a file's size
FAR_LARGER = 10  # times as many cells
BY_ROWS = 'Write one object for each row: [{"a": 1, "b": 2}, …], as pandas\' to_json(orient="records") does.'
JSON_OBJECTS = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*\{")
LIBSVM_LINE = re.compile(rb"[-+.\de]+( \d+:[-+.\de]+)+ *\r?\n")


def convert(path: Path, name: str, content: bytes, sheet: str | None = None) -> tuple[bytes, str]:
    """Return a file's content, unpacked, as CSV, and a note for the user; other text as it is.

    `name` is that of the file, or of the file in an archive.
    """
    reader = READERS.get(PurePosixPath(name).suffix.lower()) or (read_libsvm if LIBSVM_LINE.match(content) else None)
    if sheet is not None and reader is not read_spreadsheet:
        raise DataError(f"{path}: --sheet: is no spreadsheet, and has no sheets. Leave --sheet out.")
    if reader is None:
        return content, ""
    needed = SPACE_FOR_CELLS * content_size(content)
    check_memory(needed, what=str(path), remedy="Save it as Parquet, which is read in parts.")
    return read_spreadsheet(path, content, sheet) if reader is read_spreadsheet else reader(path, content)


def content_size(content: bytes) -> int:
    """Return the size in bytes, unpacked, as spreadsheets are archives, too."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(member.file_size for member in archive.infolist())
    except Exception:  # noqa: BLE001 - no archive, or a damaged one, which its reader refuses
        return len(content)


def read_spreadsheet(path: Path, content: bytes, wanted: str | None = None) -> tuple[bytes, str]:
    """Return the cells of a sheet: by default the first that is visible and holds a table."""
    fastexcel = import_optional("fastexcel", extra="excel", purpose="Reading spreadsheets")
    import_polars()
    try:
        with silent_panics():
            book = fastexcel.read_excel(content)
            sheets = {name: book.load_sheet(name, header_row=None, dtypes="string") for name in book.sheet_names}
            frames = {name: sheet.to_polars() for name, sheet in sheets.items() if sheet.height}
            hidden = {name for name in frames if sheets[name].visible != "visible"}
    except BaseException as error:  # damaged files raise errors of a dozen types, and Rust's panics
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be read as a spreadsheet ({reason}). Save the sheet as CSV.") from error
    if not frames:
        raise DataError(f"{path}: holds no cells. Give a sheet with a header and at least two rows.")
    name = find_sheet(path, frames, hidden, wanted)
    csv: str = frames[name].write_csv(include_header=False)
    others = [other for other in frames if other != name]
    note = f"sheet {name!r} read, not {listing(others)}; choose another with --sheet NAME" if others else ""
    return csv.encode(errors="replace"), "" if wanted else note


def find_sheet(path: Path, frames: Mapping[str, Any], hidden: Collection[str], wanted: str | None) -> str:
    """Return the name of the wanted sheet; by default of the first that is no remark beside a far larger one."""
    names = list(frames)
    if wanted is not None:
        by_number = {str(number): name for number, name in enumerate(names, start=1)}
        if (found := wanted if wanted in frames else by_number.get(wanted)) is None:
            raise DataError(f"{path}: --sheet: no sheet {wanted!r} has cells. Those that have are {listing(names)}.")
        return found
    visible = [name for name in names if name not in hidden] or names
    sizes = {name: frames[name].height * frames[name].width for name in visible}
    return next(name for name, size in sizes.items() if size * FAR_LARGER >= max(sizes.values()))


def read_json(path: Path, content: bytes) -> tuple[bytes, str]:
    """Return the rows of a list of objects, of one object a line, or of an object that holds the rows or columns."""
    polars = import_polars()
    if not JSON_OBJECTS.match(content):
        with suppress(ValueError, TypeError, RecursionError):  # of one object a line, or of no table
            content = json.dumps(json_rows(json.loads(content.decode("utf-8-sig")))).encode()
    is_list = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    with polars_errors(f"{path}: cannot be read as a table in JSON", BY_ROWS), silent_panics():
        frame = (polars.read_json if is_list else polars.read_ndjson)(io.BytesIO(content), infer_schema_length=None)
    frame = Table.of(str(path), frame).collect()
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    if len(nested) == frame.width:
        raise DataError(f"{path}: holds no rows of values. {BY_ROWS}")
    csv: str = frame.drop(nested).write_csv()
    return csv.encode(), f"columns dropped: {listing(nested)} (lists of texts, or of several lengths)" if nested else ""


def json_rows(document: Any) -> Any:
    """Return a list of rows that an object holds, such as those of a web service; or the rows of columns.

    Those of pandas' ``to_json`` are in one of its forms: split, index, columns, values or table.
    """
    if isinstance(document, list):
        is_matrix = bool(document) and all(isinstance(row, list) for row in document)
        return [{f"column_{n}": cell for n, cell in enumerate(row, 1)} for row in document] if is_matrix else document
    if not isinstance(document, dict):
        return [document]
    parts = list(document.values())
    lists = [part for part in parts if isinstance(part, list) and part and all(isinstance(row, dict) for row in part)]
    if len(lists) == 1:
        return lists[0]
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        return [dict(zip(document["columns"], row, strict=True)) for row in document["data"]]
    if all(isinstance(part, dict) for part in parts) and all(map(str.isdigit, document)):
        return parts
    columns = [list(part.values()) if isinstance(part, dict) else part for part in parts]
    if not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return [document]
    return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]


def read_libsvm(path: Path, content: bytes) -> tuple[bytes, str]:
    """Return the rows of LIBSVM's sparse format, with zeros, and the labels as the column ``label``."""
    from sklearn.datasets import load_svmlight_file

    try:
        x, y = load_svmlight_file(io.BytesIO(content))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read in LIBSVM's format ({error}). Correct the line.") from error
    check_memory(16 * x.shape[0] * x.shape[1], what=str(path), remedy="Fit an estimator, which takes sparse data.")
    polars = import_polars()
    frame = polars.from_numpy(x.toarray(), schema=[f"x_{index}" for index in range(1, x.shape[1] + 1)])
    csv: str = frame.with_columns(label=polars.Series(y)).write_csv()
    return csv.encode(), "read in LIBSVM's format; the first value of each line is the label"


def read_arff(path: Path, content: bytes) -> tuple[bytes, str]:
    """Return the rows of Weka's format, with the names of its attributes."""
    from scipy.io import arff

    try:
        rows, about = arff.loadarff(io.StringIO(content.decode("utf-8-sig", "replace")))
    except Exception as error:  # as above
        raise DataError(
            f"{path}: cannot be read as ARFF ({error}). Save it as CSV if attributes are texts or its rows are sparse."
        ) from error
    texts: dict[str, Any] = {
        name: [cell.decode(errors="replace") for cell in rows[name]] if rows[name].dtype.kind == "S" else rows[name]
        for name in about.names()
    }
    csv: str = import_polars().DataFrame(texts).fill_nan(None).write_csv()
    return csv.encode(), ""


READERS: dict[str, Callable[[Path, bytes], tuple[bytes, str]]] = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), read_spreadsheet),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), read_json),
    **dict.fromkeys((".libsvm", ".svmlight", ".svm"), read_libsvm),
    ".arff": read_arff,
}
