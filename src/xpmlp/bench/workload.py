"""The rows that are trained on: real ones, or random ones of MNIST's shape."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from xpmlp.datasets import Dataset, class_indices
from xpmlp.errors import DataError

ARRAYS = ("x", "labels", "test_x", "test_labels")
MNIST_ROWS, MNIST_FEATURES, MNIST_CLASSES = 60_000, 784, 10


@dataclass(frozen=True)
class Workload:
    """Rows with a class each, on the host.

    Attributes
    ----------
    labels
        From 0.
    test_x, test_labels
        Rows that are not trained on, by which it is seen that a contender learns.
    """

    name: str
    x: Float32[np.ndarray, "rows features"]
    labels: Int64[np.ndarray, " rows"]
    test_x: Float32[np.ndarray, "tests features"]
    test_labels: Int64[np.ndarray, " tests"]
    classes: int

    def take(self, rows: int | None) -> "Workload":
        """Return the first rows, or if there are fewer, as many by going through them again."""
        if rows is None or rows == len(self.x):
            return self
        index = np.arange(rows) % len(self.x)
        return Workload(self.name, self.x[index], self.labels[index], self.test_x, self.test_labels, self.classes)

    def save(self, folder: Path) -> None:
        """Write the arrays where other processes can read them."""
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "name.txt").write_text(f"{self.classes} {self.name}", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Workload":
        """Read what `save` wrote."""
        classes, _, name = (folder / "name.txt").read_text(encoding="utf-8").partition(" ")
        x, labels, test_x, test_labels = (np.load(folder / f"{part}.npy") for part in ARRAYS)
        return cls(name, x, labels, test_x, test_labels, int(classes))


def synthetic_workload(
    rows: int = MNIST_ROWS, features: int = MNIST_FEATURES, classes: int = MNIST_CLASSES
) -> Workload:
    """Return random rows that can be learned: each class is a pattern, seen through noise."""
    generator = np.random.default_rng(0)
    patterns = generator.random((classes, features), dtype=np.float32)
    tests = max(rows // 60, 1)
    labels = generator.integers(classes, size=rows + tests)
    x = np.empty((rows + tests, features), np.float32)
    for start in range(0, len(x), 4096):  # not all the noise at once
        part = labels[start : start + 4096]
        x[start : start + 4096] = 0.3 * patterns[part] + 0.7 * generator.random((len(part), features), dtype=np.float32)
    return Workload("synthetic", x[:rows], labels[:rows], x[rows:], labels[rows:], classes)


def workload_of(dataset: Dataset) -> Workload:
    """Return a dataset's rows.

    Raises
    ------
    DataError
        Where it has no classes.
    """
    if not dataset.classes:
        raise DataError(f"{dataset.name}: holds numbers to predict; the benchmark's network predicts classes.")
    train, test = dataset.train, dataset.test
    return Workload(
        dataset.name,
        np.asarray(train.x, np.float32),
        class_indices(train.labels, dataset.classes),
        np.asarray(test.x, np.float32),
        class_indices(test.labels, dataset.classes),
        len(dataset.classes),
    )
