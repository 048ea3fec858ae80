"""A dataset: host arrays ready for training, with their classes and where they came from."""

import functools
import html
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int64, Num, Shaped, UInt8

from xpmlp.errors import DataError, SettingsError
from xpmlp.model.picture_resizer import PictureResizer
from xpmlp.model.table_schema import TableSchema
from xpmlp.notebooks import html_table

from .scaling import scaled
from .splitting import VALIDATION_FRACTION, split_rows

# Of the targets of a regression, in a notebook.
NUMBERS: dict[str, Any] = {"minimum": np.min, "mean": np.mean, "maximum": np.max}


@dataclass(frozen=True)
class Split:
    """The training or the test samples.

    Attributes
    ----------
    x
        Inputs, one row for each sample, scaled and C-contiguous.
    labels
        The class of each row, or its number (float64) for regression.
    """

    x: Float32[np.ndarray, "rows features"]
    labels: Shaped[np.ndarray, " rows"]

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def __repr__(self) -> str:
        """Return the number of rows."""
        return f"{type(self).__name__}({self.rows:,} rows)"

    def take(self, rows: slice | Int64[np.ndarray, " taken"]) -> "Split":
        """Return some of the rows."""
        return Split(self.x[rows], self.labels[rows])


class ByteSplit(Split):
    """A split of images, kept as bytes until the inputs are needed.

    Attributes
    ----------
    stored
        The bytes, one row for each sample.
    divisor
        The divisor that scales them.
    x
        The inputs. They take four times the memory, and are computed when first used.
    """

    stored: UInt8[np.ndarray, "rows features"]
    divisor: float

    def __init__(
        self, stored: UInt8[np.ndarray, "rows features"], divisor: float, labels: Shaped[np.ndarray, " rows"]
    ) -> None:
        for name, value in (("stored", stored), ("divisor", divisor), ("labels", labels)):
            object.__setattr__(self, name, value)  # as the base class does, which is frozen

    @functools.cached_property
    def x(self) -> Float32[np.ndarray, "rows features"]:
        """Inputs, one row for each sample."""
        return scaled(self.stored, self.divisor, what="The dataset")

    def take(self, rows: slice | Int64[np.ndarray, " taken"]) -> "ByteSplit":
        """Return some of the rows."""
        return ByteSplit(self.stored[rows], self.divisor, self.labels[rows])


@dataclass(frozen=True)
class Provenance:
    """Where a dataset came from, so that it can be loaded again.

    Attributes
    ----------
    kind
        ``"scikit-learn"`` for the datasets that come with it, ``"mnist"``, ``"idx"`` for a folder of IDX files,
        ``"pictures"`` for one of class folders, or ``"table"`` for a file.
    data
        The argument for `load_dataset`: a name or an absolute path.
    data_dir
        The absolute path of the folder that held a named dataset's files; None if there was none, or it was the cache.
    options
        The table options that were given, by their Python names.
    """

    kind: Literal["scikit-learn", "mnist", "idx", "pictures", "table"]
    data: str
    data_dir: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Training and test samples of one source.

    Attributes
    ----------
    name
        A short name, such as the file's.
    train
        The training samples.
    test
        The test samples, to report; no row of `train` is among them.
    validation
        Samples to choose by, such as the epoch to keep: neither in `train` nor in `test`. None if there are none.
    classes
        The label of each output, in order; none for regression.
    input_shape
        The shape of one sample before flattening: ``(28, 28)`` for MNIST, ``(32, 32, 3)`` for pictures in color.
    input_scale
        The divisor of the raw values; 1 if each column of a table has its own.
    source
        Where the data came from, in words.
    notes
        Notes for the user.
    table_schema
        How the rows of a table became inputs; None if the data is no table.
    split
        How a table was split into training and test rows, to find them again, and the names of its columns if some are
        not used; None if it came split.
    provenance
        Where the data came from, to load it again; None if it came from no file.
    resizer
        How pictures became inputs; None if they were not resized, or are no pictures.
    stream
        All rows, a `xpmlp.datasets.streaming.RowStream`, if they are larger than memory: the samples here are then a
        few of them. None if the samples are all there are.
    why_streamed
        The reason, in words.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[int | str, ...]
    input_shape: tuple[int, ...]
    input_scale: float
    source: str
    notes: tuple[str, ...] = ()
    table_schema: TableSchema | None = None
    split: dict[str, Any] | None = None
    provenance: Provenance | None = None
    validation: Split | None = None
    resizer: PictureResizer | None = None
    stream: Any = None
    why_streamed: str = ""

    @property
    def train_rows(self) -> int:
        """Number of training rows."""
        return self.train.rows if self.stream is None else int(self.stream.train_counts.sum())

    @property
    def test_rows(self) -> int:
        """Number of test rows."""
        return self.test.rows if self.stream is None else int(self.stream.count("test").sum())

    @property
    def validation_rows(self) -> int:
        """Number of validation rows."""
        if self.stream is not None:
            return int(self.stream.count("validation").sum())
        return 0 if self.validation is None else self.validation.rows

    def with_validation(self, fraction: float = VALIDATION_FRACTION) -> "Dataset":
        """Return the dataset with a fraction of its training rows as validation rows, if it has none.

        Raises
        ------
        SettingsError
            If the fraction is not between 0 and 1, or there are too few rows.
        """
        if not 0.0 < fraction < 1.0:
            raise SettingsError(f"validation fraction: {fraction} is not between 0 and 1. Give 0.1 for a tenth.")
        if self.validation is not None:
            return self
        stream = self.stream
        if stream is None:
            train, validation = split_rows(self.train.labels, fraction, stratify=bool(self.classes))
        else:
            stream = replace(stream, validation_fraction=fraction)
            held_out = stream.sample_draws < stream.validation_end
            train, validation = np.flatnonzero(~held_out), np.flatnonzero(held_out)
            stream = replace(stream, sample_draws=stream.sample_draws[train])
        if not len(validation) or not len(train):
            raise SettingsError(f"{self.name}: {self.train.rows:,} training rows are too few for validation rows.")
        return replace(self, train=self.train.take(train), validation=self.train.take(validation), stream=stream)

    @property
    def task(self) -> Literal["classification", "regression"]:
        """Classification if there are classes, else regression."""
        return "classification" if self.classes else "regression"

    def __repr__(self) -> str:
        """Return the sizes in a line."""
        shape = " × ".join(map(str, self.input_shape))
        outputs = f"{len(self.classes)} classes" if self.classes else "regression"
        rows = f"{self.train.rows:,} training rows, {self.test.rows:,} test rows"
        return f"Dataset({self.name!r}: {rows}, {shape} inputs, {outputs})"

    def _repr_html_(self) -> str:
        labels = (self.train.labels, self.test.labels)
        if self.classes:
            counts = (np.bincount(class_indices(part, self.classes), minlength=len(self.classes)) for part in labels)
            rows: list[tuple[Any, ...]] = list(zip(self.classes, *counts, strict=True))
        else:
            rows = [(name, *(f"{measure(part):.4g}" for part in labels)) for name, measure in NUMBERS.items()]
        header = ("class" if self.classes else "target", "training rows", "test rows")
        return html_table(header, rows, repr(self)) + "".join(
            f"<p>note: {html.escape(note)}</p>" for note in self.notes
        )


def class_indices(labels: Shaped[np.ndarray, " rows"], classes: tuple[int | str, ...]) -> Int64[np.ndarray, " rows"]:
    """Return the position of each label in `classes`.

    Raises
    ------
    DataError
        If a label is not in `classes`.
    """
    positions = {value: position for position, value in enumerate(classes)}
    if labels.dtype == object:
        values, inverse = labels.tolist(), np.arange(len(labels))
    else:
        distinct, inverse = np.unique(labels, return_inverse=True)
        values = distinct.tolist()
    # Looked up as Python values, so that 3 and "3" differ and large integers stay exact.
    found = np.array([positions.get(value, -1) for value in values], dtype=np.int64)
    indices = found[inverse]
    rows = int(np.count_nonzero(indices < 0))
    if rows:
        unknown = dict.fromkeys(value for value, position in zip(values, found, strict=True) if position < 0)
        which = "a label that is" if len(unknown) == 1 else "labels that are"
        raise DataError(
            f"{rows} of {len(labels)} rows have {which} not among the known classes: {listing(unknown, most=5)}. "
            f"The classes are {listing(classes, most=30)}."
        )
    return indices


def one_hot(
    labels: Shaped[np.ndarray, " rows"], classes: tuple[int | str, ...], dtype: type | np.dtype[Any] = np.float32
) -> Num[np.ndarray, "rows classes"]:
    """Return targets: row i is 1 at the position of ``labels[i]`` in `classes`, and 0 elsewhere.

    Raises
    ------
    DataError
        If a label is not in `classes`.
    """
    targets = np.zeros((len(labels), len(classes)), dtype=dtype)
    targets[np.arange(len(labels)), class_indices(labels, classes)] = 1
    return targets


def listing(values: Iterable[int | str | float], *, most: int = 20) -> str:
    """Return values as Python writes them, with commas; of more than `most`, the first ones and their number."""
    return joined(map(repr, values), most=most)


def joined(texts: Iterable[str], *, most: int, between: str = ", ") -> str:
    """Return texts with commas between; of more than `most`, the first ones and their number."""
    texts = list(texts)
    text = between.join(texts[:most])
    return text if len(texts) <= most else f"{text}{between}… ({len(texts):,} in all)"


def counted(count: int, noun: str) -> str:
    """Return a number and its noun, in the plural unless it is one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
