"""The rows of a stream: in which pieces they are read, and which are held out."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from xpmlp.errors import DataError

from ..dataset import Split
from ..splitting import draw

Part = Literal["train", "validation", "test"]

BLOCK_FRACTION = 6  # of the limit, a block takes 1 / 6: one is trained on while the next is read and decoded
PIECE_FRACTION = 16  # a piece's decoded values take 1 / 16, as several are copied and converted at a time


class SourceFiles:
    """Files as they were when reading began."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.stamps = {path: self.stamp(path) for path in paths}

    @staticmethod
    def stamp(path: Path) -> tuple[int, int]:
        """Return a file's size in bytes, and when it was last changed."""
        found = path.stat()
        return found.st_size, found.st_mtime_ns

    def check(self) -> None:
        """Refuse missing or modified files."""
        for path, known in self.stamps.items():
            try:
                found = self.stamp(path)
            except OSError as error:
                raise DataError(f"{path}: can no longer be read ({error.strerror}). Restore the file.") from error
            if found != known:
                raise DataError(
                    f"{path}: has changed since reading it began, so its rows are no longer those that were measured. "
                    "Start again when nothing writes to it."
                )


class Piece(NamedTuple):
    """Rows that are read together."""

    first: int  # number of the first row among all rows
    rows: int
    file: int = 0
    start: int = 0  # number of the first row in the file
    usable: UInt8[np.ndarray, " bytes"] | None = None  # which rows can be used, in packed bits; None for all

    @property
    def numbers(self) -> Int64[np.ndarray, " rows"]:
        """The numbers of the rows among all rows."""
        return np.arange(self.first, self.first + self.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class RowStream(ABC):
    """Rows that are read piece by piece."""

    # Whether the rows are stored nearly as they are trained on, so that reading them again costs little.
    is_prepared: ClassVar[bool] = False

    name: str  # of the data, for messages
    pieces: tuple[Piece, ...]  # in the order of their rows
    files: SourceFiles
    memory: int  # limit of the memory that they may take, in bytes
    test_fraction: float  # of all rows, those that are held out for the test
    validation_fraction: float = 0.0  # of the others, those that are held out to choose by
    # Number of usable rows of each class, the held-out ones included; empty for regression.
    labels: Mapping[int | str, int] = field(default_factory=dict)
    mean: float = 0.0  # of the targets of a regression in the training rows, as are the next two
    deviation: float = 1.0
    lowest: float = 0.0
    # Of the training rows in the dataset's sample, the numbers by which they are drawn; see `draw`.
    sample_draws: Float64[np.ndarray, " sample"]

    @abstractmethod
    def read(self, piece: Piece, part: Part) -> Split:
        """Return the rows of a piece that belong to a part of the data, as inputs with their labels."""

    def mask(self, piece: Piece, part: Part) -> Bool[np.ndarray, " rows"]:
        """Return which rows of a piece belong to a part of the data."""
        drawn, held = draw(piece.numbers), (self.test_fraction, self.validation_end)
        low, high = {"test": (0.0, held[0]), "validation": held, "train": (held[1], 1.0)}[part]
        is_in_part = (drawn >= low) & (drawn < high)
        if piece.usable is not None:
            is_in_part &= np.unpackbits(piece.usable, count=piece.rows).astype(np.bool_)
        return is_in_part

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return sum(piece.rows for piece in self.pieces)

    @functools.cached_property
    def train_counts(self) -> Int64[np.ndarray, " pieces"]:
        """Number of training rows in each piece."""
        return self.count("train")

    def count(self, part: Part) -> Int64[np.ndarray, " pieces"]:
        """Return the number of rows of a part of the data in each piece."""
        counts = [np.count_nonzero(self.mask(piece, part)) for piece in self.pieces]
        return np.asarray(counts, np.int64)

    @property
    def validation_end(self) -> float:
        """Training rows are those that draw at least this number; validation rows draw less, but no test row's."""
        return self.test_fraction + (1.0 - self.test_fraction) * self.validation_fraction
