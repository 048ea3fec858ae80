"""Images in IDX files larger than memory: a sample of them, and a stream of all."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Num

from ..dataset import ByteSplit, Split
from ..idx import IdxFile
from ..memory import Memory
from ..scaling import find_scale, scaled
from ..splitting import draw
from .rows import PIECE_FRACTION, Part, Piece, RowStream, SourceFiles

SAMPLE_ROWS, RUN = 10_000, 16  # of a sample, and of its rows beside each other in the file
TRAIN, TEST = 0, 1  # the files


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageStream(RowStream):
    """Images in two files, for training and for the test, with their labels."""

    images: tuple[IdxFile, IdxFile]
    targets: tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " test"]]
    scale: float
    swap_axes: bool

    is_prepared = True

    def mask(self, piece: Piece, part: Part) -> Bool[np.ndarray, " rows"]:
        """Return which rows of a piece belong to a part of the data."""
        return super().mask(piece, part) if piece.file == TRAIN else np.full(piece.rows, part == "test")

    def read(self, piece: Piece, part: Part) -> Split:
        """Return the rows of a piece that belong to a part of the data, as inputs with their labels."""
        mask, rows = self.mask(piece, part), slice(piece.start, piece.start + piece.rows)
        self.files.check()
        raw = self.images[piece.file][rows if mask.any() else slice(0)]
        labels = self.targets[piece.file][rows][mask]
        return make_split(raw[mask[: len(raw)]], self.scale, labels, what=self.name, swap_axes=self.swap_axes)


def make_split(
    raw: Num[np.ndarray, "rows *shape"], scale: float, labels: Int64[np.ndarray, " rows"], *, what: str, swap_axes: bool
) -> Split:
    """Return scaled images, those of bytes as bytes; swap the axes of images stored column by column."""
    raw = raw.swapaxes(1, 2) if swap_axes and raw.ndim > 2 else raw
    if raw.dtype == np.uint8:
        return ByteSplit(raw.reshape(len(raw), math.prod(raw.shape[1:])), scale, labels)
    return Split(scaled(raw, scale, what=what), labels)


def memory_needed(images: Iterable[IdxFile]) -> int:
    """Estimate the bytes that images take in memory: as read, and as bytes or float32."""
    sizes = ((file.dtype.itemsize, int(np.prod(file.shape, dtype=object))) for file in images)
    return sum(values * (2 if itemsize == 1 else itemsize + 4) for itemsize, values in sizes)


def stream_images(
    images: dict[str, IdxFile],
    labels: dict[str, Int64[np.ndarray, " rows"]],
    memory: Memory,
    *,
    name: str,
    swap_axes: bool,
) -> tuple[ImageStream, list[Split], float]:
    """Return a stream of images, a sample of those for training and for the test, and the scale of all."""
    train, test = images["train"], images["test"]
    most = max(memory.limit // PIECE_FRACTION // max(memory_needed([train]) // len(train), 1), 1)
    pieces = tuple(
        Piece(first + start, min(most, rows - start), file, start)
        for file, first, rows in ((TRAIN, 0, len(train)), (TEST, len(train), len(test)))
        for start in range(0, rows, most)
    )
    measured = pieces[: 1 if train.dtype.kind in "iu" else -(-len(train) // most)]  # the type tells of whole numbers
    parts = (train[piece.start : piece.start + piece.rows] for piece in measured)
    scale = max(find_scale(part, what=str(train.path)) for part in parts)
    samples, numbers = [], []
    for split, file in images.items():
        runs = sample_runs(len(file), min(most, SAMPLE_ROWS))
        numbers.append(np.r_[*runs])
        raw = np.concatenate([file[run] for run in runs])
        samples.append(make_split(raw, scale, labels[split][numbers[-1]], what=name, swap_axes=swap_axes))
    counts = Counter[int | str]()
    for found in labels.values():
        counts.update(dict(zip(*(part.tolist() for part in np.unique(found, return_counts=True)), strict=True)))
    stream = ImageStream(
        name=name,
        pieces=pieces,
        files=SourceFiles([train.path, test.path]),
        memory=memory.limit,
        test_fraction=0.0,
        labels=counts,
        sample_draws=draw(numbers[0]),
        images=(train, test),
        targets=(labels["train"], labels["test"]),
        scale=scale,
        swap_axes=swap_axes,
    )
    return stream, samples, scale


def sample_runs(count: int, wanted: int) -> list[slice]:
    """Return about so many rows as runs, which are read at once, spread evenly over all."""
    if count <= wanted or wanted < RUN:
        return [slice(min(count, wanted))]
    return [slice(start, start + RUN) for start in np.linspace(0, count - RUN, wanted // RUN).astype(np.int64).tolist()]
