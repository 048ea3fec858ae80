"""Small tables to read, whole and damaged."""

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a text as a CSV file and returns its path."""

    def write_text(text: str, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write_text


@pytest.fixture
def halves(tmp_path: Path) -> Callable[[Any, int], tuple[Path, Path]]:
    """A function that writes the first rows and the rest of a frame as training and test file."""

    def write_parts(frame: Any, rows: int) -> tuple[Path, Path]:
        paths = tmp_path / "train.parquet", tmp_path / "test.parquet"
        for path, part in zip(paths, (frame[:rows], frame[rows:]), strict=True):
            part.write_parquet(path)
        return paths

    return write_parts


@pytest.fixture
def compress() -> Callable[[bytes, str], bytes]:
    """A function that compresses a content as files with that suffix are; others as they are."""

    def compressed(content: bytes, suffix: str) -> bytes:
        module: Any = {"gz": gzip, "bz2": bz2, "xz": lzma}.get(suffix)
        if suffix == "zst":
            module = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        return content if module is None else bytes(module.compress(content))

    return compressed


def rows(count: int, line: str = "{i},{j},{k}") -> str:
    return "\n".join(line.format(i=i, j=i * 0.5, k=i % 3) for i in range(count)) + "\n"


@pytest.fixture
def three_classes() -> str:
    """A whole table: 30 rows, a whole number, a number with a fraction, and a class."""
    return "a,b,label\n" + rows(30)
