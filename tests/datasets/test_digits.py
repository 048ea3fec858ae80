import hashlib
import importlib.util
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets, model_selection

from xpmlp.datasets import load_digits
from xpmlp.datasets.splitting import split_rows


def test_the_digits_are_scikit_learns_and_split_as_it_splits_them() -> None:
    digits = load_digits()
    x, y = datasets.load_digits(return_X_y=True)
    x = (x / digits.input_scale).astype(np.float32)
    truth = model_selection.train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    ours = (digits.train.x, digits.test.x, digits.train.labels, digits.test.labels)
    for array, expected in zip(ours, truth, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.flags.c_contiguous
    assert (digits.input_shape, digits.classes) == ((8, 8), tuple(range(10)))
    assert digits.train.x.dtype == np.float32
    # Whatever the version: figures that were measured before must compare with those measured now.
    assert hashlib.md5(digits.test.labels.astype(np.uint8).tobytes()).hexdigest() == "7410e32652519d9d518ebe5fcc8237d4"


def test_the_digits_are_loaded_without_importing_scikit_learn() -> None:
    check = "import sys; from xpmlp.datasets import load_digits; load_digits(); sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60, check=False).returncode == 0


def test_a_scikit_learn_with_its_file_elsewhere_is_asked_for_the_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = load_digits()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    np.testing.assert_array_equal(load_digits().test.x, usual.test.x)


@given(
    labels=st.lists(st.integers(0, 8), min_size=1, max_size=60), fraction=st.floats(0.01, 0.99), stratify=st.booleans()
)
def test_every_split_is_a_partition_and_every_class_has_training_rows(
    labels: list[int], fraction: float, stratify: bool
) -> None:
    train, test = split_rows(np.array(labels), fraction, stratify=stratify)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    counts = Counter(labels)
    if stratify:
        assert {labels[row] for row in train} == set(labels)
        assert all(counts[labels[row]] > 1 for row in test)
    assert len(test) > 0 or len(labels) == 1 or (stratify and max(counts.values()) == 1)


def test_any_split_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    compared = 0
    for _ in range(60):
        labels = generator.integers(0, generator.integers(1, 6), generator.integers(10, 200))
        fraction = generator.uniform(0.05, 0.9)
        for stratify in (True, False):
            try:
                train, test = split_rows(labels, fraction, stratify=stratify)
                truth = model_selection.train_test_split(
                    np.arange(len(labels)), test_size=fraction, random_state=0, stratify=labels if stratify else None
                )
            except ValueError:  # too few rows for that
                continue
            np.testing.assert_array_equal(train, truth[0])
            np.testing.assert_array_equal(test, truth[1])
            compared += 1
    assert compared > 90
