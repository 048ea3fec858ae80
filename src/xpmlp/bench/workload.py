"""Training and test rows: a dataset's, or random ones of MNIST's shape."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from xpmlp.datasets import Dataset, class_indices
from xpmlp.errors import DataError


@dataclass(frozen=True)
class Workload:
    """Host arrays of a classification task; labels are class indices."""

    name: str
    classes: int
    x: Float32[np.ndarray, "rows features"]
    labels: Int64[np.ndarray, " rows"]
    test_x: Float32[np.ndarray, "tests features"]
    test_labels: Int64[np.ndarray, " tests"]

    def take(self, rows: int | None) -> "Workload":
        """Return the first rows, repeated if there are fewer; None for all."""
        if rows is None or rows == len(self.x):
            return self
        index = np.arange(rows) % len(self.x)
        return replace(self, x=self.x[index], labels=self.labels[index])

    def save(self, path: Path) -> None:
        """Write a file for other processes."""
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "Workload":
        """Read a file that `save` wrote."""
        with np.load(path) as arrays:
            values = {name: array if array.ndim else array.item() for name, array in arrays.items()}
            return cls(**values)


def synthetic_workload(rows: int = 60_000, features: int = 784, classes: int = 10) -> Workload:
    """Return random rows that can be learned, by default of MNIST's shape: a pattern for each class, plus noise."""
    generator = np.random.default_rng(0)
    patterns = generator.random((classes, features), dtype=np.float32)
    labels = generator.integers(classes, size=rows + max(rows // 60, 1))
    x = np.empty((len(labels), features), np.float32)
    for start in range(0, len(x), 4096):  # in blocks, to save memory
        part = labels[start : start + 4096]
        x[start : start + 4096] = 0.3 * patterns[part] + 0.7 * generator.random((len(part), features), dtype=np.float32)
    return Workload("synthetic", classes, x[:rows], labels[:rows], x[rows:], labels[rows:])


def make_workload(dataset: Dataset) -> Workload:
    """Return a dataset's rows; a numeric target is refused."""
    if not dataset.classes:
        raise DataError(f"{dataset.name}: its target is numeric; the benchmark trains classifiers. Use other --data.")
    x, test_x = (np.asarray(split.x, np.float32) for split in (dataset.train, dataset.test))
    labels, test_labels = (class_indices(split.labels, dataset.classes) for split in (dataset.train, dataset.test))
    return Workload(dataset.name, len(dataset.classes), x, labels, test_x, test_labels)
