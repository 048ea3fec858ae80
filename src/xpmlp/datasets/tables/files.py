"""A path in, a table out, whatever its format."""

import codecs
import math
import os
import re
import shlex
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xpmlp.errors import DataError
from xpmlp.model.table_schema import TableSchema

from ..dataset import listing
from ..memory import check_memory
from .converted import READERS
from .csv_file import read_csv
from .options import DEFAULTS, TableOptions
from .table import Table, import_polars, known_floats, polars_errors, silent_panics
from .text_file import COMPRESSED, find_compression, open_compressed
from .trial import Scan, refuse_crashing
from .values import read_texts

TEXT = (".csv", ".tsv")
PARQUET = (".parquet", ".pq")
SUFFIXES = {
    **dict.fromkeys((*TEXT, ".zip", *READERS), "csv"),
    **dict.fromkeys(PARQUET, "parquet"),
    **dict.fromkeys((".arrow", ".arrows", ".feather", ".ipc"), "arrow"),
    ".npz": "npz",
    ".npy": "npy",
}
FORMATS = "CSV (plain, .gz, .zst, .bz2, .xz or .zip), Excel, ODS, JSON, ARFF, Parquet, Arrow or Feather, .npz or .npy"

# Tables of other programs, each with Python that converts the file {0} to CSV, {1}, or .npz, {2}, if a line does.
FOREIGN_TABLES = {
    **dict.fromkeys((".numbers", ".rds", ".rdata", ".duckdb", ".joblib", ".tfrecord", ".docx", ".ipynb", ".sql"), ""),
    **dict.fromkeys(
        (".db", ".sqlite", ".sqlite3"),
        "import polars, sqlite3; polars.read_database('select * from TABLE', sqlite3.connect({0})).write_csv({1})",
    ),
    ".avro": "import polars; polars.read_avro({0}).write_csv({1})",
    ".mat": "import numpy, scipy.io; m = scipy.io.loadmat({0}); numpy.savez({2}, x=m['X'], y=m['y'].ravel())",
    ".html": "import pandas; pandas.read_html({0})[0].to_csv({1}, index=False)",
    **{
        suffix: f"import pandas; pandas.read_{name}({{0}}).to_csv({{1}}, index=False)"
        for suffix, name in (
            (".dta", "stata"), (".sav", "spss"), (".sas7bdat", "sas"), (".pkl", "pickle"), (".pickle", "pickle"),
            (".h5", "hdf"), (".hdf5", "hdf"), (".xml", "xml"), (".orc", "orc"),
        )
    },
}  # fmt: skip
ARCHIVES = (".tar", ".tgz", ".7z", ".rar")
OTHER_TEXTS = (".svg", ".html", ".xml", ".py", ".md")  # not tables, though text
FIRST_BYTES = 4096
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
NPY_MAGIC = b"\x93NUMPY"
FEATURES = ("x", "X", "data", "images", "features", "inputs")  # usual names of arrays in an .npz
TARGETS = ("y", "Y", "label", "labels", "target", "targets", "class", "classes")
PARTS = "train|test|validation|valid|val"
PART_NAME = re.compile(rf"(?P<split>{PARTS})_?(?P<part>\w+)|(?P<part2>\w+?)_?(?P<split2>{PARTS})", re.IGNORECASE)
LAYOUTS = "x and y; x_train, y_train, x_test and y_test; or an array of one dimension for each column"
ONE_HOT = "one-hot labels are read as the number of their column, from 0"


def table_format(path: Path) -> str | None:
    """Return a table's format: ``"csv"`` for text, ``"parquet"``, ``"arrow"``, ``"npz"``, ``"npy"``; None if no table.

    The end of its name tells; of other names, such as ``adult.data`` or ``table.txt``, the content. A folder of Parquet
    files, or of .npy files, is a table, too.
    """
    if os.path.isdir(path):
        return "parquet" if parquet_files(path) else "npz" if npy_files(path) else None
    *_, before, last = ["", "", *(suffix.lower() for suffix in path.suffixes)]
    if last in COMPRESSED and SUFFIXES.get(before) == "csv":
        return "csv"
    if last in SUFFIXES or last in OTHER_TEXTS or not os.path.isfile(path):
        return SUFFIXES.get(last)
    try:
        with path.open("rb") as file:
            start = file.read(FIRST_BYTES)
            if name := find_compression(start):
                file.seek(0)
                start = open_compressed(file, name).read(FIRST_BYTES)
    except Exception:  # noqa: BLE001 - each of the libraries has its own
        return None
    if start.startswith((b"PAR1", b"ARROW1")):
        return "parquet" if start.startswith(b"PAR1") else "arrow"
    is_text = start.startswith(UTF_16_MARKS) or not any(byte < 9 or 13 < byte < 32 for byte in start)
    return "csv" if start and is_text else None


def refuse_foreign(path: Path) -> None:
    """Refuse URLs, streams, archives and files of other programs, and say how to make a file that can be read."""
    if address := re.fullmatch(r"(https?|ftp|s3|gs|hf|file):/+(.+)", str(path), re.IGNORECASE):
        scheme, place = address.groups()
        if scheme == "file":
            raise DataError(f"{path}: is an address. Give the path: {shlex.quote('/' + place)}")
        url = f"{scheme}://{place}"
        how = f": curl -LO {shlex.quote(url)}" if scheme in ("http", "https", "ftp") else "."
        raise DataError(f"{url}: is not on this machine. Download it first{how}")
    if str(path) == "-" or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)):
        raise DataError(f"{path}: is a stream. Save it to a file first, such as table.csv, and give that.")
    if not os.path.isfile(path):
        return
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and (suffixes[-1] in ARCHIVES or suffixes[0] == ".tar"):
        raise DataError(f"{path}: is an archive. Unpack it first, and give a file or folder in it.")
    if suffixes and (code := FOREIGN_TABLES.get(suffixes[-1])) is not None:
        remedy = f"Save the table as {FORMATS}, and give that."
        if code:
            code = code.format(*(repr(str(path.with_suffix(suffix))) for suffix in (path.suffix, ".csv", ".npz")))
            quoted = shlex.quote(code) if set(code) & set('"$`\\!') else f'"{code}"'
            remedy = f"Convert it: python -c {quoted}"
        raise DataError(f"{path}: {path.suffix} files cannot be read as tables. {remedy}")


def read_tables(
    path: Path, options: TableOptions = DEFAULTS, schema: TableSchema | None = None
) -> tuple[Table, dict[str, Table]]:
    """Read a table, and the tables of its ``"test"`` and ``"validation"`` rows if the file holds them separately.

    The `schema` is that of the model for which it is read: text is then read as its training data were.
    """
    refuse_foreign(path)
    if not os.path.exists(path):
        raise DataError(f"{path}: there is no such file. Give {FORMATS}.")
    kind, parts = table_format(path), dict[str, Table]()
    if kind is None and not os.path.isfile(path):
        raise DataError(f"{path}: is not a file. Give {FORMATS}.")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty. Give a table with a header and at least two rows.")
        match kind:
            case "csv":
                return read_csv(path, options, schema), {}
            case "npz":
                table, parts = read_npz(path)
            case "npy":
                files = array_files(path, options.target_file)
                table = table_of_arrays(str(path), {name: map_array(file) for name, file in files.items()})
            case "parquet":
                table = joined_files(path, open_parquet(path))
            case "arrow":
                table = open_arrow(path)
            case _:
                raise DataError(f"{path}: unknown format. Give {FORMATS}.")
        texts = {name: read_texts(part, options, schema) for name, part in parts.items()}
        return read_texts(table, options, schema), texts
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error


def read_table(path: Path, options: TableOptions = DEFAULTS, schema: TableSchema | None = None) -> Table:
    """Read a table as `read_tables`; of a file with training and test rows, the test rows."""
    table, parts = read_tables(path, options, schema)
    return parts.get("test", table)


def parquet_files(path: Path) -> list[Path]:
    """Return the Parquet files of a folder, in the order of their names; the path itself if it is no folder."""
    if not os.path.isdir(path):
        return [path]
    found = [file for suffix in PARQUET for file in path.glob(f"*{suffix}") if file.is_file()]
    return sorted(file for file in found if not file.name.startswith((".", "_")))


def npy_files(path: Path) -> list[Path]:
    """Return the .npy files of a folder, in the order of their names; none if there is only one."""
    found = sorted(path.glob("*.npy"))
    return found if len(found) > 1 else []


def array_files(path: Path, targets: str | Path | None = None) -> dict[str, Path]:
    """Return the .npy files by the names of their arrays: those of a folder, or one, with the targets in another."""
    if os.path.isdir(path):
        return {file.stem: file for file in npy_files(path)}
    return {"x": path} | ({} if targets is None else {Path(targets).stem: Path(os.path.expanduser(targets))})


def open_parquet(path: Path, *, trusted: bool = False) -> list[Table]:
    """Open a Parquet file, or those of a folder, which must have the same columns; see `open_lazily`."""
    tables = [open_lazily(file, "scan_parquet", "Parquet", trusted=trusted) for file in parquet_files(path)]
    for other in tables[1:]:
        refuse_other_columns(tables[0], other)
    return tables


def joined_files(path: Path, tables: list[Table]) -> Table:
    """Return the tables of a folder's Parquet files as one."""
    if len(tables) == 1:
        return replace(tables[0], name=str(path))
    # One scan of all files: before a slice of several scans put together, Polars reads all rows that come earlier.
    frame = import_polars().scan_parquet(parquet_files(path), glob=False)
    rows = sum(table.rows for table in tables)
    return Table(str(path), frame, dict(frame.collect_schema()), rows).flat()


def refuse_other_columns(table: Table, other: Table) -> None:
    """Refuse a file of a folder whose columns are not those of the first, naming the first difference."""
    for name in dict.fromkeys([*table.schema, *other.schema]):
        found = [f"of type {one.schema[name]}" if name in one.schema else "missing" for one in (table, other)]
        if found[0] != found[1]:
            raise DataError(
                f"{other.name}: its column {name!r} is {found[1]}, but {found[0]} in {table.name}. All files of a "
                "folder need the same columns: correct the file, or move it to another folder."
            )
    if list(table.schema) != list(other.schema):
        raise DataError(f"{other.name}: its columns have another order than in {table.name}. Write it in that order.")


def open_arrow(path: Path) -> Table:
    """Open an Arrow file, also called Feather or IPC, or a stream of the same format."""
    polars = import_polars()
    with path.open("rb") as file:
        magic = file.read(6)
    if magic[:4] == b"FEA1":
        raise DataError(f"{path}: is a Feather file of version 1. Save it as version 2, which is Arrow, or as Parquet.")
    if magic == b"ARROW1":
        return open_lazily(path, "scan_ipc", "Arrow")
    refuse_crashing(path, "read_ipc_stream")
    with polars_errors(f"{path}: cannot be read as Arrow"), path.open("rb") as file:
        frame = polars.read_ipc_stream(file)
    return checked(Table.of(str(path), frame))


def open_lazily(path: Path, scan: Scan, kind: str, *, trusted: bool = False) -> Table:
    """Open a Parquet or Arrow file; its values are read when they are used, some rows at a time.

    A file that is not `trusted` is read whole in another process first, and must have few enough rows.
    """
    if str(path) != str(path).encode(errors="replace").decode():
        raise DataError(f"{path}: has a name that is not Unicode, so Polars cannot open it. Rename the file.")
    if not trusted:
        refuse_crashing(path, scan)
    polars = import_polars()
    frame = getattr(polars, scan)(path, glob=False)
    with polars_errors(f"{path}: cannot be read as {kind}"), silent_panics():
        schema = dict(frame.collect_schema())
    table = Table(str(path), frame, schema, 0).flat()
    table = checked(replace(table, rows=table.collect(frame.select(polars.len())).item() if schema else 0))
    if not trusted:
        check_memory(16 * table.rows, what=f"{path}: a column of {table.rows:,} rows", remedy="Take fewer rows.")
    return table


def checked(table: Table) -> Table:
    """Refuse a table without columns or rows."""
    if not table.schema or not table.rows:
        raise DataError(
            f"{table.name}: has {len(table.schema):,} columns and {table.rows:,} rows. Give a table that has both."
        )
    return table


def read_npz(path: Path) -> tuple[Table, dict[str, Table]]:
    """Read NumPy's .npz, or a folder of .npy: a table, and tables of ``"test"`` and ``"validation"`` rows if there are.

    Known layouts are `x` with a row or an image for each sample and `y` with its label, for each part if there are
    several (``x_train``, ``y_test``, ``val_images`` …); other usual names for them; and an array of one dimension for
    each column.
    """
    arrays, notes = read_arrays(path)
    if arrays.keys() == {"arr_0", "arr_1"}:  # as numpy.savez(file, x, y) names them
        arrays = {"x": arrays["arr_0"], "y": arrays["arr_1"]}
    parts: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        if (found := split_name(name)) is not None:
            parts.setdefault(found[0], {})[found[1]] = array
    if "train" not in parts:
        return table_of_arrays(str(path), arrays, notes), {}
    used = sum(map(len, parts.values()))
    if used < len(arrays):
        notes = (*notes, f"{len(arrays) - used} other arrays are left out")
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        notes = (*notes, "the validation rows are the test rows")
    tables = {name: table_of_arrays(f"{path} ({name} rows)", parts[name]) for name in parts if name != "train"}
    return table_of_arrays(str(path), parts["train"], notes), tables


def split_name(name: str) -> tuple[str, str] | None:
    """Return ``"train"``, ``"test"`` or ``"validation"`` and a usual name from ``x_train``; None for other names."""
    match = PART_NAME.fullmatch(name)
    usual = None if match is None else match["part"] or match["part2"]
    if match is None or usual not in (*FEATURES, *TARGETS):
        return None
    part = (match["split"] or match["split2"]).lower()
    return "validation" if part.startswith("val") else part, usual


def map_array(path: Path) -> Shaped[np.ndarray, "..."]:
    """Map the array in a .npy file, of which those values are read that are used."""
    try:
        array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. Check its name and folder.") from error
    except Exception as error:  # damaged headers raise errors of several types
        raise unreadable_array(path, ".npy", error) from error
    return array


def unreadable_array(path: Path, kind: str, error: Exception) -> DataError:
    """Return the error for a file whose arrays cannot be read."""
    if "object" in str(error).lower():
        return DataError(f"{path}: holds Python objects. Save arrays of numbers or text instead.")
    return DataError(f"{path}: cannot be read as {kind} ({error}). Is the file whole?")


def read_arrays(path: Path) -> tuple[dict[str, Shaped[np.ndarray, "..."]], tuple[str, ...]]:
    """Return the arrays of a file, and a note on members that are none."""
    if os.path.isdir(path):
        return {name: map_array(file) for name, file in array_files(path).items()}, ()
    try:
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
            if file.read(6) == NPY_MAGIC:
                raise DataError(f"{path}: holds a single array. Give an .npz with {LAYOUTS}.")
            members: Any = np.lib.npyio.NpzFile(file)  # members that are no arrays are bytes
            size = sum(member.file_size for member in members.zip.infolist())
            check_memory(size, what=str(path), remedy="Use fewer rows or a larger machine.")
            found = dict(members.items())
    except DataError:
        raise
    except Exception as error:  # damaged archives raise errors of a dozen types
        raise unreadable_array(path, ".npz", error) from error
    others = [name for name, member in found.items() if isinstance(member, bytes)]
    arrays = {name: member for name, member in found.items() if name not in others}
    return arrays, (f"left out, as they are no arrays: {listing(others)}",) if others else ()


def is_one_hot(array: Shaped[np.ndarray, "rows classes"]) -> bool:
    """Return whether each row has a single 1 among zeros."""
    return array.dtype.kind in "biuf" and bool(((array != 0).sum(axis=1) == 1).all() and (array.max(axis=1) == 1).all())


def table_of_arrays(name: str, arrays: dict[str, Shaped[np.ndarray, "..."]], notes: tuple[str, ...] = ()) -> Table:
    """Return a table of arrays whose first axis is the rows; other axes are flattened into columns."""
    polars = import_polars()
    if not arrays:
        raise DataError(f"{name}: holds no arrays. Give {LAYOUTS}.")
    for key in [key for key, array in arrays.items() if array.dtype.names]:
        array = arrays[key]
        arrays = {name: arrays[name] for name in arrays if name != key}
        arrays |= {name: array[name] for name in array.dtype.names or ()}
    sizes = {key: len(array) if array.ndim else 0 for key, array in arrays.items()}
    samples = next((size for key, size in sizes.items() if key in FEATURES), None)
    if samples and arrays.keys() & {*TARGETS}:
        others = [key for key, size in sizes.items() if size != samples and key not in TARGETS]
        notes = (*notes, f"other arrays are left out: {listing(others)}") if others else notes
        arrays = {key: array for key, array in arrays.items() if key not in others}
        sizes = {key: sizes[key] for key in arrays}
    if len(set(sizes.values())) != 1 or not all(sizes.values()):
        listed = ", ".join(f"{key} {arrays[key].shape}" for key in arrays)
        raise DataError(f"{name}: its arrays have different numbers of rows, or none: {listed}. Give {LAYOUTS}.")
    frames, row_shape = [], None
    for key, array in arrays.items():
        if known_floats(array).dtype.kind not in "biufUS":
            raise DataError(f"{name}: {key} is of type {array.dtype}; expected numbers, booleans or text.")
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        array = known_floats(array)
        width = math.prod(array.shape[1:])
        if key in TARGETS and array.ndim == 2 and width > 1 and is_one_hot(array):
            array, width, notes = array.argmax(axis=1), 1, (*notes, ONE_HOT)
        if array.ndim == 1 or (width == 1 and key in TARGETS):
            frames.append(polars.DataFrame({key: np.ascontiguousarray(array.reshape(-1))}))
            continue
        if width == 0:
            raise DataError(f"{name}: {key} has the shape {array.shape}, which holds no values.")
        columns = [f"{key}_{index}" for index in range(width)]
        frames.append(polars.from_numpy(np.ascontiguousarray(array.reshape(len(array), width)), schema=columns))
        if key in FEATURES and array.ndim > 2:
            # A last axis of one value is that of a grey image's only color.
            row_shape = tuple(int(size) for size in array.shape[1:] if size != 1)
    with polars_errors(f"{name}: cannot be made a table", f"Give {LAYOUTS}."):
        return Table.of(name, polars.concat(frames, how="horizontal"), row_shape=row_shape, notes=notes)
