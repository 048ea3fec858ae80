"""The files of a benchmark in a folder of their own."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from xpmlp.errors import OutputError
from xpmlp.whole_files import write_whole

from .figures import draw_roofline, draw_sweep, draw_throughput
from .report import to_markdown
from .results import Results

FILES = ("results.json", "results.md", "throughput.png", "sweep.png", "roofline.png")


def prepare_folder(folder: Path, *, force: bool = False) -> None:
    """Make the folder and see that it can be written to: before the work, not after it.

    Raises
    ------
    OutputError
        Where it cannot be, or it holds results already and `force` is not given.
    """
    earlier = [name for name in FILES if (folder / name).exists()]
    if earlier and not force:
        raise OutputError(
            f"{folder}: already holds results ({', '.join(earlier)}). Choose another --output, or give --force to "
            "replace them."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, probe = tempfile.mkstemp(dir=folder, prefix=".xpmlp-")
        os.close(descriptor)
        os.unlink(probe)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror or error}). Choose another --output."
        ) from error


def save_results(results: Results, folder: Path) -> list[str]:
    """Write the results, the page, and whatever pictures they make, into a folder; return the names of the files.

    Files of earlier results that these do not have are removed, for a picture of others would be taken for theirs.
    """
    timed = [point for point in results.points if point.timed]
    swept = results.sweep is not None and len(timed) > 1
    # What was measured comes first: whatever becomes of the pictures, it is there.
    makers: dict[str, Callable[[], bytes | None]] = {
        "results.json": lambda: results.to_json().encode(),
        "results.md": lambda: to_markdown(results).encode(),
        "throughput.png": lambda: draw_throughput(timed[0]) if len(timed) == 1 else None,
        "sweep.png": lambda: draw_sweep(replace(results, points=tuple(timed))) if swept else None,
        "roofline.png": lambda: draw_roofline(timed[0]) if timed else None,
    }
    saved = []
    for name, make in makers.items():
        content = make()
        if content is None:
            with contextlib.suppress(FileNotFoundError):
                (folder / name).unlink()
        else:
            write_whole(folder / name, content)
            saved.append(name)
    return saved
