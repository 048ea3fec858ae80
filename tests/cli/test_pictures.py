"""From a folder of pictures to a run, its figures and page, and predictions of photos, by the commands alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

Run = Callable[..., Any]


@pytest.fixture
def pictures() -> Path:
    """Warm and cold colors with noise, in pictures of several sizes, in the working folder."""
    rng = np.random.default_rng(0)
    for name, color in (("warm", (220, 120, 40)), ("cold", (30, 90, 220))):
        for index in range(12):
            path = Path("colors", name, f"{index}.jpg")
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(color) + rng.normal(0, 40, (40 + 9 * index, 60, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    Path("colors", "warm", "notes.txt").write_text("warm")
    return Path("colors")


def test_a_folder_of_pictures_trains_and_photos_are_predicted(xpmlp: Run, no_pictures: None, pictures: Path) -> None:
    code, out, err = xpmlp("train", pictures, "--output", "run", "--epochs", 20, "--image-size", "8x6")
    assert (code, err) == (0, "")
    assert "colors: 19 training rows, 5 test rows, 6 × 8 × 3 inputs, 2 classes" in out
    assert "left out what is no picture of a class: 'warm/notes.txt'" in out
    assert "resized to 8 × 6 pixels, in color" in out
    drawn = {path.name for path in Path("run").iterdir()}
    assert {"weights.png", "gallery.png"} <= drawn

    Image.new("RGB", (300, 200), (210, 130, 50)).save("photo.png")
    out = xpmlp("predict", "run", "photo.png", "--show", "seen.png").out
    assert "warm" in out
    seen = np.asarray(Image.open("seen.png").convert("RGB"))
    assert ((np.abs(seen.astype(int) - (210, 130, 50)) < 3).all(axis=-1)).mean() > 0.3  # in color
    _, out, err = xpmlp("predict", "run", pictures)
    assert out.count(".jpg") == 24
    assert "left out what are no pictures: 'warm/notes.txt'" in err

    _, out, err = xpmlp("evaluate", "run", pictures)
    assert "on 5 test rows" in out
    assert "evaluated on the pictures held out in training" in out + err
    out = xpmlp("inspect", pictures, "--html", "colors.html").out
    assert "images             32 × 32 × 3" in out

    named = Path(pictures, "named.csv")
    named.write_text("file\nwarm/0.jpg\nmissing.jpg\ncold/3\n")
    _, out, err = xpmlp("predict", "run", named, "--output", "said.csv", status=1)
    assert err.endswith("Error: colors/missing.jpg: no such file. Check the name and the folder.\n")
    rows = [row.split(",")[:3] for row in Path("said.csv").read_text().splitlines()[1:]]
    assert rows == [["colors/warm/0.jpg", "", "warm"], ["colors/cold/3.jpg", "", "cold"]]


def test_folders_without_classes_are_told_what_is_missing(refused: Callable[..., None], pictures: Path) -> None:
    for path in (pictures / "cold").iterdir():
        path.unlink()
    words = ("pictures, but not those of several classes", "colors/cat/1.jpg")
    refused(("train", pictures), *words)
    (pictures / "cold").rmdir()
    refused(("inspect", pictures), *words)
    refused(("train", pictures / "warm"), "warm/cat/1.jpg")
