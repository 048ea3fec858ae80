"""The rows of a stream: in which pieces they are read, and which are held out."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from xpmlp.errors import DataError

from ..dataset import Split
from ..splitting import draw

Part = Literal["train", "validation", "test"]

BLOCK_FRACTION = 6  # of the limit, a block takes 1 / 6: one is trained on while the next is read and decoded
PIECE_FRACTION = 16  # a piece's decoded values take 1 / 16, as several are copied and converted at a time


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when reading began."""

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        """Return a file as it is now."""
        found = path.stat()
        return SourceFile(path, found.st_size, found.st_mtime_ns)

    def check(self) -> None:
        """Refuse a file that is gone, or that is not what it was."""
        try:
            found = self.of(self.path)
        except OSError as error:
            raise DataError(f"{self.path}: can no longer be read ({error.strerror}). Restore the file.") from error
        if (found.size, found.modified) != (self.size, self.modified):
            raise DataError(
                f"{self.path}: has changed since reading it began, so its rows are no longer those that were measured. "
                "Start again when nothing writes to it."
            )


class Piece(NamedTuple):
    """Rows that are read together."""

    first: int  # number of the first row among all rows
    rows: int
    file: int = 0
    start: int = 0  # number of the first row in the file
    usable: bytes | None = None  # which rows can be used, as bits; None for all

    def usable_rows(self) -> Bool[np.ndarray, " rows"]:
        """Return which rows can be used."""
        if self.usable is None:
            return np.ones(self.rows, np.bool_)
        return np.unpackbits(np.frombuffer(self.usable, np.uint8), count=self.rows).astype(np.bool_)


@dataclass(frozen=True, eq=False, kw_only=True)
class RowStream(ABC):
    """Rows that are read piece by piece."""

    # Whether the rows are stored nearly as they are trained on, so that reading them again costs little.
    is_prepared: ClassVar[bool] = False

    name: str  # of the data, for messages
    pieces: tuple[Piece, ...]  # in the order of their rows
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

    @abstractmethod
    def check(self, piece: Piece) -> None:
        """Refuse a piece whose file is gone or has changed."""

    def mask(self, piece: Piece, part: Part) -> Bool[np.ndarray, " rows"]:
        """Return which rows of a piece belong to a part of the data."""
        drawn, held = draw(piece.first, piece.rows), (self.test_fraction, self.validation_end)
        low, high = {"test": (0.0, held[0]), "validation": held, "train": (held[1], 1.0)}[part]
        return np.asarray((drawn >= low) & (drawn < high) & piece.usable_rows())

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


def pack(usable: Bool[np.ndarray, " rows"]) -> bytes | None:
    """Return which rows can be used as bits; None for all."""
    return None if usable.all() else np.packbits(usable).tobytes()


def draw_rows(numbers: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """Return the random numbers of some rows, which are in order; see `draw`."""
    return np.concatenate([draw(run.start, run.stop - run.start) for run in runs_of(numbers)])


def runs_of(numbers: Int64[np.ndarray, " rows"]) -> list[slice]:
    """Return the rows of these numbers, which are in order, as runs of neighbours."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return [slice(int(run[0]), int(run[-1]) + 1) for run in runs]
