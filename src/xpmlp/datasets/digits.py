"""scikit-learn's handwritten digits: small, and always there."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from .dataset import Dataset, Provenance, Split
from .splitting import split_rows

INPUT_SCALE = 16.0  # the largest value of a pixel


def load_digits() -> Dataset:
    """Load the 1,797 images of 8 × 8 pixels that come with scikit-learn; a fixed fifth of them are the test samples.

    Their file is read directly: importing scikit-learn for it would take most of a short run's time.
    """
    package = importlib.util.find_spec("sklearn")
    path = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else Path()
    try:
        lines = gzip.decompress(path.read_bytes()).decode("ascii").split()
        table = np.array([line.split(",") for line in lines], dtype=np.float64).reshape(1797, 65)
    except (OSError, EOFError, ValueError):  # another layout of the package than in known releases
        from sklearn.datasets import load_digits as load

        table = np.column_stack(load(return_X_y=True))
    x, labels = (table[:, :-1] / INPUT_SCALE).astype(np.float32), table[:, -1].astype(np.int64)
    train, test = (Split(x[rows], labels[rows]) for rows in split_rows(labels, stratify=True))
    return Dataset(
        name="digits",
        train=train,
        test=test,
        classes=tuple(range(10)),
        input_shape=(8, 8),
        input_scale=INPUT_SCALE,
        source="the handwritten digits that come with scikit-learn",
        provenance=Provenance("scikit-learn", "digits"),
    )
