"""Small tables to read, whole and damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a text as a CSV file and returns its path."""

    def write_text(text: str, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write_text


def rows(count: int, line: str = "{i},{j},{k}") -> str:
    return "\n".join(line.format(i=i, j=i * 0.5, k=i % 3) for i in range(count)) + "\n"


@pytest.fixture
def three_classes() -> str:
    """A whole table: 30 rows, a whole number, a number with a fraction, and a class."""
    return "a,b,label\n" + rows(30)
