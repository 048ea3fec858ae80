"""scikit-learn's handwritten digits: small, and always at hand."""

import numpy as np

from .dataset import Dataset, Provenance, Split

# The darkest a pixel can be.
INPUT_SCALE = 16.0


def load_digits() -> Dataset:
    """The 1,797 images of 8 × 8 pixels that come with scikit-learn; the test data is a fixed fifth, 360 rows."""
    from sklearn import datasets, model_selection

    data, target = datasets.load_digits(return_X_y=True)
    x = (data / INPUT_SCALE).astype(np.float32)
    labels = target.astype(np.int64)
    train_x, test_x, train_labels, test_labels = model_selection.train_test_split(
        x, labels, test_size=0.2, stratify=labels, random_state=0
    )
    return Dataset(
        name="digits",
        train=Split(np.ascontiguousarray(train_x), train_labels),
        test=Split(np.ascontiguousarray(test_x), test_labels),
        classes=tuple(range(10)),
        input_shape=(8, 8),
        input_scale=INPUT_SCALE,
        source="the handwritten digits that come with scikit-learn",
        provenance=Provenance("scikit-learn", "digits"),
    )
