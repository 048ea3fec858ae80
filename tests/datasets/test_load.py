from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xpmlp.datasets import load_dataset
from xpmlp.errors import DataError

Folder = Callable[..., Path]


def test_digits_need_nothing() -> None:
    assert load_dataset("digits").name == "digits"


def test_mnist_is_taken_from_the_folder_given(make_folder: Folder) -> None:
    folder = make_folder("somewhere")
    for data_dir in (folder, str(folder)):
        dataset = load_dataset("mnist", data_dir)
        assert dataset.name == "mnist"
        assert len(dataset.train.x) == 12


def test_a_path_is_a_folder_of_idx_files(make_folder: Folder) -> None:
    assert load_dataset(str(make_folder("fashion"))).name == "fashion"


def test_a_path_may_end_in_a_prefix(make_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder("emnist", lambda name: f"emnist-letters-{name}")
    assert load_dataset(f"{folder}/emnist-letters").name == "emnist-letters"
    monkeypatch.chdir(folder)
    assert load_dataset("emnist-letters").name == "emnist-letters"


def test_a_path_may_start_at_home(make_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder("fashion")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_dataset("~/fashion").name == "fashion"


def test_a_folder_does_not_shadow_a_name_but_its_path_works(
    make_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder("digits")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("digits").input_shape == (8, 8)
    assert load_dataset("./digits").input_shape == (4, 3)


@pytest.mark.parametrize(
    ("data", "suggestion"),
    [("mnits", "Did you mean mnist?"), ("MNIST", "Did you mean mnist?"), ("digit", "Did you mean digits?")],
)
def test_a_misspelt_name_is_answered_with_the_right_one(
    data: str, suggestion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load_dataset(data)
    assert f"{data!r}: neither" in str(caught.value)
    assert suggestion in str(caught.value)
    assert "Give digits, mnist, iris" in str(caught.value)
    assert "the path of a table, the path of a folder of IDX files" in str(caught.value)


@pytest.mark.parametrize("data", ["", "no/such/place", "~nobody-of-this-name/x", "x" * 5000])
def test_what_is_neither_a_name_nor_a_path_is_told_what_can_be_given(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="Give digits, mnist") as caught:
        load_dataset(data)
    assert "Did you mean" not in str(caught.value)


def test_a_misspelt_prefix_is_answered_with_the_right_one(make_folder: Folder) -> None:
    folder = make_folder("emnist", lambda name: f"emnist-letters-{name}")
    with pytest.raises(DataError, match=r"Did you mean .*emnist/emnist-letters\?"):
        load_dataset(f"{folder}/emnist-leters")


def test_a_file_is_answered_with_what_is_expected(make_folder: Folder) -> None:
    path = make_folder("data") / "train-images-idx3-ubyte"
    with pytest.raises(DataError, match="Give the folder that holds the four IDX files"):
        load_dataset(str(path))


def test_a_dataset_says_where_it_came_from_so_that_it_can_be_loaded_again(
    make_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder("mnist")
    make_folder("emnist", lambda name: f"emnist-letters-{name}")
    rows = [f"{index},{index % 3},{'ab'[index % 2]}" for index in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["i,k,kind", *rows]))
    monkeypatch.chdir(tmp_path)
    options = {"target": "kind", "exclude": ["i"], "missing": "drop"}
    for data, data_dir, chosen, expected in (
        ("digits", None, {}, ("scikit-learn", "digits", None, {})),
        ("wine", None, {"scale": "unit"}, ("scikit-learn", "wine", None, {"scale": "unit"})),
        ("mnist", "mnist", {}, ("mnist", "mnist", str(tmp_path / "mnist"), {})),
        ("./mnist", None, {}, ("idx", str(tmp_path / "mnist"), None, {})),
        ("emnist/emnist-letters", None, {}, ("idx", str(tmp_path / "emnist" / "emnist-letters"), None, {})),
        ("t.csv", None, options, ("table", str(tmp_path / "t.csv"), None, options)),
    ):
        dataset = load_dataset(data, data_dir, **chosen)
        assert dataset.provenance is not None
        found = dataset.provenance.to_json()
        assert (found["kind"], found["data"], found["data_dir"], found["options"]) == expected
        monkeypatch.chdir("/")
        again = load_dataset(found["data"], found["data_dir"], **found["options"])
        monkeypatch.chdir(tmp_path)
        np.testing.assert_array_equal(again.train.x, dataset.train.x)
