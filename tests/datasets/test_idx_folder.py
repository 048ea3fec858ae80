import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xpmlp.datasets import ByteSplit, load_idx_folder
from xpmlp.errors import DataError

Folder = Callable[..., Path]


def test_a_folder_of_four_files_is_a_dataset(make_folder: Folder, small_mnist: dict[str, np.ndarray]) -> None:
    dataset = load_idx_folder(make_folder("fashion"))
    assert dataset.name == "fashion"
    assert dataset.classes == (0, 1, 2)
    assert all(type(value) is int for value in dataset.classes)
    assert dataset.input_shape == (4, 3)
    assert dataset.input_scale == 255
    assert dataset.notes == ()
    assert "fashion" in dataset.source
    for split, name in ((dataset.train, "train"), (dataset.test, "t10k")):
        raw = small_mnist[f"{name}-images-idx3-ubyte"]
        assert split.x.flags.c_contiguous
        np.testing.assert_array_equal(split.x, raw.reshape(len(raw), 12).astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(split.labels, small_mnist[f"{name}-labels-idx1-ubyte"])


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"{name}.gz",
        lambda name: name.replace("-idx", ".idx"),
        lambda name: name.replace("t10k", "test"),
        lambda name: f"{name}.gz" if "labels" in name else name.replace("-idx", ".idx"),
        lambda name: f"kmnist-{name}",
    ],
    ids=["gzip", "dot", "test", "some of each", "prefix"],
)
def test_names_may_vary_as_mirrors_vary_them(make_folder: Folder, rename: Callable[[str], str]) -> None:
    usual, other = load_idx_folder(make_folder("usual")), load_idx_folder(make_folder("other", rename))
    np.testing.assert_array_equal(usual.train.x, other.train.x)
    np.testing.assert_array_equal(usual.test.labels, other.test.labels)


def test_emnist_images_are_set_upright_and_it_says_so(make_folder: Folder, small_mnist: dict[str, np.ndarray]) -> None:
    def rename(name: str) -> str:
        return f"emnist-letters-{name.replace('t10k', 'test')}.gz"

    dataset = load_idx_folder(make_folder("emnist", rename))
    upright = small_mnist["train-images-idx3-ubyte"].transpose(0, 2, 1)
    assert dataset.input_shape == (3, 4)
    assert dataset.train.x.flags.c_contiguous
    np.testing.assert_array_equal(dataset.train.x, upright.reshape(12, 12).astype(np.float32) / np.float32(255))
    assert "transposed" in dataset.notes[0]


def test_a_plain_file_goes_before_a_gzipped_one_and_before_a_folder(make_folder: Folder) -> None:
    folder = make_folder("both", lambda name: f"{name}.gz", train_images=np.zeros((12, 4, 3), np.uint8))
    make_folder("both", lambda name: name.replace("-idx", ".idx"))
    (folder / "train-images-idx3-ubyte").mkdir()
    assert load_idx_folder(folder).train.x.any()


def test_several_datasets_in_a_folder_are_told_apart_by_prefix(make_folder: Folder) -> None:
    folder = make_folder("emnist", lambda name: f"emnist-letters-{name}")
    make_folder("emnist", lambda name: f"emnist-digits-{name}", train_images=np.zeros((12, 4, 3), np.uint8))
    with pytest.raises(DataError, match=r"2 datasets.* FOLDER/PREFIX: .*emnist/emnist-digits, .*emnist/emnist-letters"):
        load_idx_folder(folder)
    assert load_idx_folder(folder / "emnist-letters").train.x.any()
    assert not load_idx_folder(folder / "emnist-digits").train.x.any()
    make_folder("emnist")
    assert [load_idx_folder(folder / part).name for part in ("", "emnist-digits")] == ["emnist", "emnist-digits"]


def test_what_is_missing_is_named_with_the_folder(make_folder: Folder, tmp_path: Path) -> None:
    part = make_folder("part", lambda name: name if "train-images" in name else None)
    prefix = make_folder("prefix", lambda name: None if "t10k-labels" in name else f"kmnist-{name}")
    letters = make_folder("emnist", lambda name: f"emnist-letters-{name}")
    (tmp_path / "empty").mkdir()
    names = "train-labels-idx1-ubyte and t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte"
    for path, message in (
        (part, f"of the four IDX files, {names} are missing"),
        (prefix, "of the four IDX files, kmnist-test-labels-idx1-ubyte is missing"),
        (tmp_path / "empty", "no IDX files in this folder. Expected train-images-idx3-ubyte"),
        (tmp_path / "nowhere", "no such folder"),
        (letters / "emnist-leters", "no such folder, and no IDX files with this prefix. Give a folder"),
    ):
        with pytest.raises(DataError) as caught:
            load_idx_folder(path)
        assert str(caught.value).startswith(f"{path}: {message}")


def with_one(part: str, value: float) -> dict[str, np.ndarray]:
    """Images of 0, save for one value in one part's."""
    images = {"train_images": np.zeros((12, 4, 3)), "t10k_images": np.zeros((6, 4, 3))}
    images[f"{part}_images"][5, 2, 1] = value
    return images


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        *(
            (with_one(part, value), f"{part}-images.*: 1 of .* in row 5, pixel row 2, pixel column 1")
            for part, value in (("train", np.nan), ("train", np.inf), ("t10k", 1e300))
        ),
        ({"train_labels": np.zeros(11, np.uint8)}, "train-images.* holds 12 images, but .*train-labels.* 11 labels"),
        ({"t10k_labels": np.zeros(7, np.uint8)}, "t10k-images.* holds 6 images, but .*t10k-labels.* 7 labels"),
        ({"t10k_images": np.zeros((6, 3, 4), np.uint8)}, r"images of shape \(4, 3\), but .* of shape \(3, 4\)"),
        ({"t10k_images": np.zeros((6, 4, 3), np.int16)}, "images of dtype uint8, but .* of dtype int16"),
        ({"t10k_labels": np.array([0, 1, 9, 2, 9, 0], np.uint8)}, "t10k-labels.*: 2 of 6 rows .*: 9\\. .* 0, 1, 2"),
        ({"train_labels": np.full(12, 4, np.uint8)}, "train-labels.*: all labels are 4"),
        ({"train_labels": np.zeros((12, 4, 3), np.uint8)}, r"train-labels.*: its shape is \(12, 4, 3\); .* mixed"),
        ({"train_images": np.zeros(12, np.uint8)}, r"train-images.*: its shape is \(12,\); .* mixed up"),
        ({"train_images": np.zeros((0, 4, 3), np.uint8)}, r"train-images.*: has no pixels; its shape is \(0, 4, 3\)"),
        ({"t10k_images": np.zeros((0, 4, 3), np.uint8)}, r"t10k-images.*: has no pixels"),
        ({"train_images": np.zeros((12, 0, 3), np.uint8)}, r"train-images.*: has no pixels"),
        ({"train_labels": np.array([0.5, *range(11)], np.float32)}, "1 labels are not whole numbers; the first is 0.5"),
        ({"train_labels": np.array([np.nan, *range(11)], np.float64)}, "1 labels are not whole numbers; .* nan"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(
    make_folder: Folder, replaced: dict[str, np.ndarray], expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        load_idx_folder(make_folder("data", **replaced))


@pytest.mark.parametrize(
    ("dtype", "low", "high", "scale"),
    [
        ("uint8", 0, 255, 255),
        ("int8", -128, 127, 127),
        ("int16", -500, 500, 2**15 - 1),
        ("int32", -500, 2**31 - 1, 2**31 - 1),
        ("float32", -0.5, 0.75, 1.0),
        ("float32", -8.0, 2.0, 8.0),
        ("float64", 0.0, 300.0, 300.0),
    ],
)
def test_integers_are_divided_by_the_largest_of_their_type_and_floats_by_the_largest_training_value_beyond_one(
    make_folder: Folder, dtype: str, low: float, high: float, scale: float
) -> None:
    train = np.linspace(low, high, 48).reshape(12, 2, 2).astype(dtype)
    test = train[:6] * 2 if dtype.startswith("float") else train[6:]
    labels = np.array([-3, 5] * 6)
    dataset = load_idx_folder(
        make_folder(
            "data",
            train_images=train,
            t10k_images=test,
            train_labels=labels.astype("int8"),
            t10k_labels=labels[:6].astype("float64"),
        )
    )
    assert dataset.input_scale == scale
    np.testing.assert_allclose(dataset.train.x, train.reshape(12, 4) / scale, rtol=1e-6)
    np.testing.assert_allclose(dataset.test.x, test.reshape(6, 4) / scale, rtol=1e-6)
    assert dataset.classes == (-3, 5)
    np.testing.assert_array_equal(dataset.test.labels, labels[:6])


@pytest.mark.parametrize("shape", [(2, 2, 3), (12,)], ids=["color", "rows"])
def test_images_may_have_color_or_be_rows_of_features(make_folder: Folder, shape: tuple[int, ...]) -> None:
    images = np.arange(144, dtype=np.uint8).reshape(12, *shape)
    dataset = load_idx_folder(make_folder("data", train_images=images, t10k_images=images[:6]))
    assert dataset.input_shape == shape


@pytest.mark.parametrize("prefix", ["", "emnist-letters-"])
def test_scaling_takes_no_second_copy_of_the_images(make_folder: Folder, prefix: str) -> None:
    train = np.full((4000, 28, 28), 7, np.uint8)
    folder = make_folder(
        "data",
        lambda name: prefix + name,
        train_images=train,
        train_labels=np.arange(4000, dtype=np.int32) % 2,
        t10k_images=train[:2],
        t10k_labels=np.zeros(2, np.uint8),
    )
    tracemalloc.start()
    try:
        load_idx_folder(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The bytes, their transpose, and a little.
    assert peak < 2.2 * train.nbytes


def test_bytes_become_numbers_when_they_are_asked_for(make_folder: Folder) -> None:
    split = load_idx_folder(make_folder("data")).train
    assert isinstance(split, ByteSplit)
    assert split.stored.dtype == np.uint8
    part = split.take(slice(None, None, 2))
    np.testing.assert_array_equal(part.x, split.x[::2])
    np.testing.assert_array_equal(part.labels, split.labels[::2])
    assert part.rows == len(split.labels[::2])
    assert split.x is split.x
    with pytest.raises(AttributeError):
        split.labels = part.labels  # type: ignore[misc]
