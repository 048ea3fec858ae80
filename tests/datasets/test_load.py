from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xpmlp.datasets import load_dataset
from xpmlp.errors import DataError

Folder = Callable[..., Path]


def test_a_name_goes_before_a_path_and_a_path_may_start_at_home_or_end_in_a_prefix(
    make_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(make_folder("emnist", lambda name: f"emnist-letters-{name}"))
    make_folder("emnist/digits")
    for data, name, shape in (
        ("digits", "digits", (8, 8)),
        ("./digits", "digits", (4, 3)),
        ("~/emnist/digits", "digits", (4, 3)),
        (f"{tmp_path}/emnist/digits", "digits", (4, 3)),
        ("emnist-letters", "emnist-letters", (3, 4)),
        ("~/emnist/emnist-letters", "emnist-letters", (3, 4)),
    ):
        dataset = load_dataset(data)
        assert (dataset.name, dataset.input_shape) == (name, shape)


@pytest.mark.parametrize(
    ("data", "suggestion"),
    [
        ("mnits", "Did you mean mnist? Give"),
        ("MNIST", "Did you mean mnist? Give"),
        ("digit", "Did you mean digits? Give"),
        ("emnist/emnist-leters", "Did you mean emnist/emnist-letters? Give"),
        *(
            (data, "folder. Give digits, mnist, iris")
            for data in ("", "no/such/place", "~nobody-of-this-name/x", "x" * 5000)
        ),
    ],
)
def test_what_is_neither_a_name_nor_a_path_is_told_what_can_be_given(
    make_folder: Folder, data: str, suggestion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder("emnist", lambda name: f"emnist-letters-{name}")
    for name in ("cat", "dog"):  # an empty name, as from an unset variable of the shell, is not this folder
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
        np.save(tmp_path / f"{'x' if name == 'cat' else 'y'}.npy", np.arange(9.0))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load_dataset(data)
    assert f"{data!r}: neither" in str(caught.value)
    assert suggestion in str(caught.value)
    assert "the path of a table, that of a folder of pictures with a folder for each class" in str(caught.value)


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
        found = asdict(dataset.provenance)
        assert tuple(found.values()) == expected
        monkeypatch.chdir("/")
        again = load_dataset(found["data"], found["data_dir"], **found["options"])
        monkeypatch.chdir(tmp_path)
        np.testing.assert_array_equal(again.train.x, dataset.train.x)
