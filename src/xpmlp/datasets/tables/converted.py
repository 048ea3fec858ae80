"""Files of other programs, as the text of a CSV file: spreadsheets, JSON, ARFF, and zip archives with one table.

From there on their cells are those of a CSV file: titles, totals, money, dates and missing markers are found.
"""

import io
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from xpmlp.errors import DataError
from xpmlp.optional_imports import import_optional

from ..dataset import listing
from ..memory import check_memory
from .table import import_polars, polars_errors, silent_panics

SPACE_FOR_CELLS = 8  # cells in memory take about as many times a file's size
FAR_LARGER = 10  # times as many cells
BY_ROWS = 'Write one object for each row: [{"a": 1, "b": 2}, …], as pandas\' to_json(orient="records") does.'


def convert(path: Path, sheet: str | None = None) -> tuple[bytes, str] | None:
    """Return the content as CSV, and a note on the sheet read; None for other formats."""
    reader = READERS.get(path.suffix.lower())
    if sheet is not None and reader is not read_spreadsheet:
        raise DataError(f"{path}: --sheet: is no spreadsheet, and has no sheets. Leave --sheet out.")
    if reader is None:
        return None
    check_memory(
        SPACE_FOR_CELLS * content_size(path), what=str(path), remedy="Save it as Parquet, which is read in parts."
    )
    return read_spreadsheet(path, sheet) if reader is read_spreadsheet else reader(path)


def content_size(path: Path) -> int:
    """Return the size in bytes, unpacked, as spreadsheets are archives, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except Exception:  # noqa: BLE001 - no archive, or a damaged one, which its reader refuses
        return path.stat().st_size


def read_spreadsheet(path: Path, wanted: str | None = None) -> tuple[bytes, str]:
    """Return the cells of a sheet: by default the first that is visible and holds a table."""
    fastexcel = import_optional("fastexcel", extra="excel", purpose="Reading spreadsheets")
    import_polars()
    try:
        with silent_panics():
            book = fastexcel.read_excel(path.read_bytes())
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


def read_json(path: Path) -> tuple[bytes, str]:
    """Return the rows of a list of objects, or of one object a line."""
    polars, content = import_polars(), path.read_bytes()
    is_list = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    with polars_errors(f"{path}: cannot be read as a table in JSON", BY_ROWS), silent_panics():
        frame = (polars.read_json if is_list else polars.read_ndjson)(io.BytesIO(content), infer_schema_length=None)
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    if nested and len(nested) == frame.width:
        raise DataError(f"{path}: holds no rows of values. {BY_ROWS}")
    if nested:
        raise DataError(f"{path}: values of {listing(nested)} are lists or objects. Give each part a name of its own.")
    csv: str = frame.write_csv()
    return csv.encode(), ""


def read_arff(path: Path) -> tuple[bytes, str]:
    """Return the rows of Weka's format, with the names of its attributes."""
    from scipy.io import arff

    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            rows, about = arff.loadarff(file)
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


def read_zip(path: Path) -> tuple[bytes, str]:
    """Return the only file of an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                member.filename
                for member in archive.infolist()
                if not member.is_dir()
                and not PurePosixPath(member.filename).name.startswith(".")
                and not member.filename.startswith("__MACOSX/")
            ]
            if len(names) != 1:
                held = listing(names) if names else "none"
                raise DataError(f"{path}: one file is expected in an archive; it holds {held}. Unpack it.")
            return archive.read(names[0]), ""
    except DataError:
        raise
    except Exception as error:  # as above
        raise DataError(f"{path}: cannot be unpacked ({error}). Is the file whole, and without a password?") from error


READERS: dict[str, Callable[[Path], tuple[bytes, str]]] = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), read_spreadsheet),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), read_json),
    ".arff": read_arff,
    ".zip": read_zip,
}
