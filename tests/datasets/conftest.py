"""A small dataset of images in IDX files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_mnist() -> dict[str, np.ndarray]:
    """What the four files of a small dataset hold, by their usual names: 12 and 6 images of 4 × 3, 3 classes."""
    rng = np.random.default_rng(7)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (12, 4, 3), dtype=np.uint8),
        "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 3,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (6, 4, 3), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(6, dtype=np.uint8) % 3,
    }


@pytest.fixture
def make_folder(
    tmp_path: Path, write_idx: Callable[[Path, np.ndarray], Path], small_mnist: dict[str, np.ndarray]
) -> Callable[..., Path]:
    """A function that writes the small dataset into a new folder.

    `rename` maps each usual name to the file's name, or to None where it is to be left out; keywords (`train_images`,
    `t10k_labels`, …) replace the content of a file.
    """

    def make(name: str = "data", rename: Callable[[str], str | None] = str, **replaced: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for usual, array in small_mnist.items():
            key = "_".join(usual.split("-")[:2])
            file_name = rename(usual)
            if file_name is not None:
                write_idx(folder / file_name, np.asarray(replaced.get(key, array)))
        return folder

    return make
