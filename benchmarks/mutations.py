"""Damage files of every kind at random and read them: none may do more than raise one of the package's own errors.

    python benchmarks/mutations.py                         # a few hundred mutations of each file, a minute or two
    python benchmarks/mutations.py --count 70000           # a million over all readers, overnight
    python benchmarks/mutations.py csv --start 500 --count 1    # one again

Each reader works in a process of its own with little memory. Counted as failures: errors of other types, processes that
end or hang, and anything written to the terminal.
"""

import argparse
import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

SECONDS = 60  # for one file
CHUNK = 5000  # files for one process
MEMORY = 2**30
MOST_SHOWN = 20  # failures of a reader


def table_frame() -> Any:
    """Return a small table with a column of each kind."""
    import polars as pl

    kinds = {"a": np.arange(40) * 1.5, "b": np.arange(40) % 7, "c": ["x", "y é", "z,", "?"] * 10}
    more = {"yes": [True, False] * 20, "price": [f"$1,{100 + index}" for index in range(40)]}
    return pl.DataFrame(kinds | more | {"label": np.arange(40) % 2})


def csv_text() -> bytes:
    """Return a table as CSV."""
    return bytes(table_frame().write_csv().encode())


def written(method: str, **options: Any) -> bytes:
    """Return a table as one of Polars' formats."""
    content = io.BytesIO()
    getattr(table_frame(), method)(content, **options)
    return content.getvalue()


def archive() -> bytes:
    """Return a table as CSV in a zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("table.csv", csv_text())
    return content.getvalue()


def spreadsheet() -> bytes:
    """Return a table as the least that Excel writes."""
    rows = csv.reader(io.StringIO(csv_text().decode()))
    cells = ("".join(f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>' for cell in row) for row in rows)
    office = "http://schemas.openxmlformats.org"
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship '
        f'Id="r1" Type="{office}/officeDocument/2006/relationships/worksheet" Target="sheet.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{office}/spreadsheetml/2006/main" xmlns:r="{office}/officeDocument/2006/'
        'relationships"><sheets><sheet name="data" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/sheet.xml": f'<worksheet xmlns="{office}/spreadsheetml/2006/main"><sheetData>'
        + "".join(f"<row>{row}</row>" for row in cells)
        + "</sheetData></worksheet>",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return content.getvalue()


def arff() -> bytes:
    """Return a table in Weka's format."""
    header = "@relation t\n@attribute a numeric\n@attribute c {x,y}\n@attribute label {no,yes}\n@data\n"
    rows = (f"{row * 1.5 if row else '?'},{'xy'[row % 2]},{('no', 'yes')[row // 3 % 2]}\n" for row in range(40))
    return (header + "".join(rows)).encode()


def npz() -> bytes:
    """Return arrays as .npz."""
    content = io.BytesIO()
    np.savez_compressed(content, x=np.arange(120.0).reshape(40, 3), y=np.arange(40) % 2, name=np.array(["a", "b"] * 20))
    return content.getvalue()


def images() -> bytes:
    """Return images in color as .npz, with the names of MedMNIST."""
    content, parts = io.BytesIO(), {"train": 12, "val": 4, "test": 4}
    pixels = {f"{part}_images": np.full((rows, 8, 8, 3), 200, np.uint8) for part, rows in parts.items()}
    np.savez(content, **pixels, **{f"{part}_labels": np.arange(rows)[:, None] % 2 for part, rows in parts.items()})
    return content.getvalue()


def npy() -> bytes:
    """Return an array as .npy."""
    content = io.BytesIO()
    np.save(content, np.arange(120.0).reshape(40, 3))
    return content.getvalue()


def idx() -> bytes:
    """Return images as IDX."""
    return bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 4]) + bytes(range(80))


def picture(kind: str) -> bytes:
    """Return a drawn digit in a format."""
    from PIL import Image

    pixels = np.full((40, 30), 255, np.uint8)
    pixels[8:32, 14:17] = 0
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def model() -> bytes:
    """Return a model of a table."""
    import xpmlp

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(csv_text())
        trained, _ = xpmlp.train(xpmlp.load_dataset(path), xpmlp.Recipe(hidden_layer_sizes=(3,), epochs=1))
        xpmlp.save_model(Path(folder) / "model.safetensors", trained)
        return (Path(folder) / "model.safetensors").read_bytes()


def checkpoint() -> bytes:
    """Return a checkpoint."""
    import xpmlp
    from xpmlp.training import Checkpointing, fit_dataset

    with tempfile.TemporaryDirectory() as folder:
        recipe = xpmlp.Recipe(hidden_layer_sizes=(3,), epochs=1)
        fit_dataset(xpmlp.load_dataset("iris"), recipe, callbacks=[Checkpointing(Path(folder))])
        return next(Path(folder).glob("*.safetensors")).read_bytes()


def results() -> bytes:
    """Return the results of a benchmark."""
    return next((Path(__file__).parent / "results").glob("*.json")).read_bytes()


def history() -> bytes:
    """Return a run's history."""
    import xpmlp
    from xpmlp.training import history_to_csv

    _, result = xpmlp.train(xpmlp.load_dataset("iris"), xpmlp.Recipe(hidden_layer_sizes=(3,), epochs=3))
    return history_to_csv(result.history).encode()


def read_dataset(path: Path, target: str | None = None) -> None:
    """Load a table as `train` and `inspect` do."""
    from xpmlp import load_dataset
    from xpmlp.errors import XpmlpError
    from xpmlp.inspection.inspection import inspect_data

    with contextlib.suppress(XpmlpError):
        inspect_data(path, target=target)
    assert np.isfinite(load_dataset(path, target=target).train.x).all()


def read_idx(path: Path) -> None:
    """Read an IDX file."""
    from xpmlp import datasets

    datasets.read_idx(path)


def read_picture(path: Path) -> None:
    """Prepare a picture for a model of digits."""
    from xpmlp.model.image_preprocessor import ImagePreprocessor, prepare_marks

    assert np.isfinite(prepare_marks(path, ImagePreprocessor(28, 28, "dark", 20 / 28, "mass"), single=True)[0]).all()


def read_array(path: Path) -> None:
    """Load a .npy with its targets."""
    targets = path.with_name("y.npy")
    np.save(targets, np.arange(40) % 2)
    read_dataset(path, target=str(targets))


def read_class_folders(path: Path) -> None:
    """Load a picture among others in class folders."""
    from xpmlp import load_dataset
    from xpmlp.errors import XpmlpError

    folder = path.with_suffix("")
    for name in ("a/1.png", "b/2.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture("png"))
    (folder / "a" / path.name).write_bytes(path.read_bytes())
    try:
        assert np.isfinite(load_dataset(folder, strict=True).train.x).all()
    except XpmlpError as error:
        raise type(error)(str(error).replace(str(folder / "a"), str(path.parent))) from error


def read_model(path: Path) -> None:
    """Load a model and let it predict."""
    import xpmlp

    loaded = xpmlp.load_model(path)
    xpmlp.predict(loaded, np.zeros((2, loaded.layer_sizes[0]), np.float32), prepared=True)


def read_checkpoint(path: Path) -> None:
    """Load a checkpoint."""
    from xpmlp.training.checkpoint import load_checkpoint

    load_checkpoint(path)


def read_results(path: Path) -> None:
    """Load the results of a benchmark."""
    from xpmlp.bench import load_results

    load_results(path)


def read_history(path: Path) -> None:
    """Read a run's history."""
    from xpmlp.cli import run_folder

    run_folder.read_history(path)


# A file's ending, its content, and what reads it.
READERS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], None]]] = {
    "csv": (".csv", csv_text, read_dataset),
    "csv-no-header": (
        ".csv",
        lambda: csv_text().split(b"\n", 1)[1],
        lambda path: read_dataset(path, target="column_6"),
    ),
    "csv-utf-16": (".csv", lambda: csv_text().decode().encode("utf-16"), read_dataset),
    "csv-gzip": (".csv.gz", lambda: gzip.compress(csv_text(), mtime=0), read_dataset),
    "csv-bzip2": (".csv.bz2", lambda: bz2.compress(csv_text()), read_dataset),
    "csv-xz": (".csv.xz", lambda: lzma.compress(csv_text()), read_dataset),
    "zip": (".zip", archive, read_dataset),
    "xlsx": (".xlsx", spreadsheet, read_dataset),
    "json": (".json", lambda: written("write_json"), read_dataset),
    "ndjson": (".ndjson", lambda: written("write_ndjson"), read_dataset),
    "arff": (".arff", arff, read_dataset),
    "parquet": (".parquet", lambda: written("write_parquet"), read_dataset),
    "arrow": (".arrow", lambda: written("write_ipc", compression="uncompressed"), read_dataset),
    "arrow-stream": (".arrow", lambda: written("write_ipc_stream"), read_dataset),
    "npz": (".npz", npz, read_dataset),
    "npz-images": (".npz", images, read_dataset),
    "npy": (".npy", npy, read_array),
    "pictures-png": (".png", lambda: picture("png"), read_class_folders),
    "pictures-jpeg": (".jpeg", lambda: picture("jpeg"), read_class_folders),
    "idx": ("", idx, read_idx),
    "idx-gzip": (".gz", lambda: gzip.compress(idx(), mtime=0), read_idx),
    "model": (".safetensors", model, read_model),
    "checkpoint": (".safetensors", checkpoint, read_checkpoint),
    "results": (".json", results, read_results),
    "history": (".csv", history, read_history),
    **{
        kind: (f".{kind}", lambda kind=kind: picture(kind), read_picture)  # type: ignore[misc]
        for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "avif")
    },
}


def mutate(content: bytes, seed: int) -> bytes:
    """Return a file with a few bytes replaced, removed, inserted or repeated, or its end cut off."""
    generator = random.Random(seed)
    damaged = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 5, 20])):
        place = generator.randrange(len(damaged) + 1)
        length = generator.choice([0, 1, 1, 2, 10])
        piece = generator.choice(
            [
                generator.randbytes(generator.choice([1, 4])),
                *(
                    b"",
                    b'"',
                    b"\n",
                    b"\r",
                    b",",
                    b";",
                    b"\0",
                    b"\0\0\0\0",
                    b"\xff",
                    b"\xff\xff\xff\xff",
                    b"\x1b[2J",
                    b"?",
                ),
                *(b"-", b"nan", b"1e999", b"[[[[", b"{", b"null", b"\\u0000", bytes(damaged[place : place + 10]) * 3),
            ]
        )
        damaged[place : place + length] = piece
        if generator.random() < 0.02:
            del damaged[place:]
    return bytes(damaged)


def read_mutants(reader: str, start: int, count: int, folder: Path) -> None:
    """Read mutations, and print a line for each: the seed before it is read, and then what came of it."""
    end, make, read = READERS[reader]
    report, terminal = os.dup(1), tempfile.TemporaryFile()  # noqa: SIM115 - until the process ends
    os.dup2(terminal.fileno(), 1)
    os.dup2(terminal.fileno(), 2)
    content = make()
    sys.stdout.flush()
    os.ftruncate(terminal.fileno(), 0)
    warnings.simplefilter("error")
    path = folder / f"file{end}"
    for seed in range(start, start + count):
        os.write(report, f"{seed}\n".encode())
        path.write_bytes(mutate(content, seed))
        signal.alarm(SECONDS)
        problem = read_one(read, path)
        signal.alarm(0)
        sys.stdout.flush()
        sys.stderr.flush()
        if terminal.seek(0, os.SEEK_END):
            terminal.seek(0)
            problem = f"written to the terminal: {terminal.read(300).decode(errors='replace')}"
            os.ftruncate(terminal.fileno(), 0)
        os.write(report, f"{json.dumps(problem)}\n".encode())


def read_one(read: Callable[[Path], None], path: Path) -> str:
    """Return ``"read"``, ``"refused"``, or the traceback of an error that is not the package's own."""
    from xpmlp.errors import XpmlpError

    try:
        read(path)
    except XpmlpError as error:
        return "refused" if str(path) in str(error) else f"an error without the file's name: {error}"
    except BaseException:  # noqa: BLE001 - whatever it is, it is reported
        return traceback.format_exc()
    return "read"


def run_reader(reader: str, start: int, count: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Return how many mutations were read and refused, and what went wrong with others."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    first, end = start, start + count
    while first < end:
        command = [sys.executable, __file__, reader, "--start", str(first), "--count", str(min(CHUNK, end - first))]
        child = subprocess.run([*command, "--child", folder], capture_output=True, text=True, check=False)
        lines = child.stdout.splitlines()
        outcomes = dict(zip(map(int, lines[::2]), map(json.loads, lines[1::2]), strict=False))
        if len(lines) % 2:
            outcomes[int(lines[-1])] = f"the process ended with {child.returncode}"
        elif not lines:
            raise RuntimeError(f"{reader}: {child.stderr}")
        for seed, outcome in outcomes.items():
            counts["tried"] += 1
            if outcome in ("read", "refused"):
                counts[outcome] += 1
            else:
                failures.append(f"{reader}, seed {seed}: {outcome}")
        first = max(outcomes) + 1
    return counts, failures


def main() -> None:
    """Read mutations with all readers, or those named, and print the counts and the failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", help=f"{', '.join(READERS)}; all by default")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=300, help="mutations of each file")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    readers = arguments.readers or list(READERS)
    if arguments.child is not None:
        with contextlib.suppress(ImportError):
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (4 * MEMORY, 4 * MEMORY))
        read_mutants(readers[0], arguments.start, arguments.count, arguments.child)
        return
    total: Counter[str] = Counter()
    for reader in readers:
        with tempfile.TemporaryDirectory() as folder:
            counts, failures = run_reader(reader, arguments.start, arguments.count, Path(folder))
        total += counts
        print(f"{reader:14} {counts['tried']:9,} tried {counts['refused']:9,} refused {len(failures):5,} failures")
        for failure in failures[:MOST_SHOWN]:
            print(f"  {failure}")
        total["failures"] += len(failures)
    print(f"{'all':14} {total['tried']:9,} tried {total['refused']:9,} refused {total['failures']:5,} failures")
    sys.exit(1 if total["failures"] else 0)


if __name__ == "__main__":
    main()
