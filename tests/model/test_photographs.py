"""Photographed digits, drawn here as a phone takes them: on paper, in uneven light, beside a table's edge."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import xpmlp
from xpmlp.backends import NumpyBackend
from xpmlp.model.image_preprocessor import ImagePreprocessor, prepare_marks
from xpmlp.training.prediction import unfamiliar

# Strokes of each digit, through points in a box of 1 × 1 (x to the right, y down); each in one or more hands.
HANDS: dict[int, list[list[list[tuple[float, float]]]]] = {
    0: [
        [[(0.5, 0), (0.15, 0.25), (0.1, 0.6), (0.4, 1), (0.8, 0.75), (0.85, 0.3), (0.5, 0)]],
        [[(0.6, 0.02), (0.2, 0.2), (0.2, 0.7), (0.5, 1), (0.8, 0.6), (0.75, 0.15), (0.5, 0.03)]],
    ],
    1: [[[(0.55, 0), (0.5, 0.5), (0.48, 1)]], [[(0.3, 0.22), (0.55, 0), (0.53, 0.5), (0.5, 1)]]],
    2: [
        [[(0.15, 0.25), (0.4, 0), (0.75, 0.2), (0.6, 0.55), (0.12, 1), (0.5, 0.97), (0.9, 0.98)]],
        [[(0.2, 0.2), (0.5, 0), (0.8, 0.25), (0.5, 0.65), (0.15, 0.95), (0.35, 0.85), (0.6, 0.98), (0.9, 0.9)]],
    ],
    3: [
        [[(0.2, 0.1), (0.55, 0), (0.75, 0.22), (0.4, 0.46), (0.8, 0.7), (0.55, 1), (0.15, 0.88)]],
        [[(0.2, 0.05), (0.7, 0.05), (0.75, 0.25), (0.42, 0.45), (0.78, 0.6), (0.7, 0.92), (0.2, 0.95)]],
    ],
    4: [
        [[(0.25, 0), (0.15, 0.3), (0.15, 0.55), (0.5, 0.58), (0.85, 0.52)], [(0.7, 0.1), (0.68, 0.5), (0.65, 1)]],
        [[(0.3, 0.02), (0.12, 0.5), (0.5, 0.55), (0.9, 0.5)], [(0.75, 0), (0.7, 0.5), (0.66, 1)]],
    ],
    5: [
        [[(0.3, 0.03), (0.22, 0.42), (0.6, 0.42), (0.78, 0.7), (0.5, 1), (0.15, 0.9)], [(0.3, 0.03), (0.82, 0)]],
        [[(0.8, 0.02), (0.32, 0.04), (0.25, 0.45), (0.65, 0.45), (0.72, 0.8), (0.4, 1), (0.15, 0.92)]],
    ],
    6: [
        [[(0.65, 0), (0.25, 0.4), (0.2, 0.8), (0.5, 1), (0.78, 0.78), (0.55, 0.55), (0.22, 0.72)]],
        [[(0.5, 0), (0.22, 0.45), (0.25, 0.9), (0.6, 0.98), (0.72, 0.7), (0.45, 0.58), (0.22, 0.75)]],
    ],
    7: [
        [[(0.12, 0.08), (0.5, 0.05), (0.85, 0.05)], [(0.85, 0.05), (0.6, 0.5), (0.45, 1)]],
        [[(0.15, 0.1), (0.8, 0.02), (0.62, 0.45), (0.42, 1)]],
    ],
    8: [
        [[(0.72, 0.15), (0.5, 0), (0.25, 0.2), (0.5, 0.46), (0.78, 0.76), (0.5, 1), (0.22, 0.78), (0.5, 0.48),
          (0.74, 0.2), (0.6, 0.02)]],
        [[(0.7, 0.12), (0.4, 0), (0.28, 0.25), (0.7, 0.68), (0.62, 0.98), (0.3, 0.92), (0.35, 0.65), (0.72, 0.2)]],
    ],
    9: [
        [[(0.75, 0.15), (0.45, 0), (0.2, 0.25), (0.45, 0.46), (0.75, 0.2), (0.72, 0.55), (0.65, 1)]],
        [[(0.72, 0.2), (0.5, 0.02), (0.25, 0.2), (0.35, 0.45), (0.7, 0.35), (0.74, 0.12), (0.7, 0.6), (0.6, 1)]],
    ],
}  # fmt: skip


def smooth(points: list[tuple[float, float]]) -> np.ndarray:
    """A curve through points (Catmull and Rom 1974), as a polyline."""
    known = np.array([points[0], *points, points[-1]])
    t = np.linspace(0, 1, 12)[:, None]
    pieces = []
    for a, b, c, d in zip(known, known[1:], known[2:], known[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(pieces)


def write(ink: Any, strokes: list[Any], rng: np.random.Generator, corner: Any, size: float) -> None:
    """Draw strokes with a round pen, a little slanted, stretched and unsteady."""
    draw = ImageDraw.Draw(ink)
    slant, width = rng.uniform(-0.15, 0.2), rng.uniform(0.55, 0.75)
    pen = size * rng.uniform(0.07, 0.13)
    for stroke in strokes:
        points = [(x + rng.normal(0, 0.015), y + rng.normal(0, 0.015)) for x, y in stroke]
        line = smooth(points)
        line = np.stack([line[:, 0] * width + slant * (0.5 - line[:, 1]), line[:, 1]], axis=1) * size + corner
        draw.line([tuple(point) for point in line], fill=255, width=round(pen), joint="curve")
        for x, y in line:
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)


def photograph(seed: int, *, height: int = 480, width: int = 640) -> tuple[Any, list[int], set[str]]:
    """A picture of one to four digits, the digits from left to right, and what else it shows."""
    rng = np.random.default_rng(seed)
    count = int(rng.choice([1, 1, 1, 2, 3, 4]))
    digits = [int(digit) for digit in rng.integers(0, 10, count)]
    shows = {name for name in ("table's edge", "ruled paper", "shadow") if rng.random() < 0.4}
    ink = Image.new("L", (width, height))
    size = rng.uniform(0.3, 0.5) * min(height, width / count)
    size = max(size, 90)
    room = (width - 160) / count
    for index, digit in enumerate(digits):
        hand = HANDS[digit][int(rng.integers(len(HANDS[digit])))]
        left = 80 + room * index + rng.uniform(0, max(room - size * 0.95, 0))
        write(ink, hand, rng, (left, rng.uniform(0.2, 0.3) * height + rng.uniform(-0.05, 0.05) * height), size)
    cover = np.asarray(ink.filter(ImageFilter.GaussianBlur(1.2)), np.float32)[..., None] / 255

    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., None]
    paper = np.array([0.93, 0.92, 0.88]) * np.ones_like(x)
    if "ruled paper" in shows:
        distance, thick = rng.uniform(35, 60), rng.uniform(1, 2.5)
        tilt = rng.uniform(-0.02, 0.02)
        rows = np.arange(height)[:, None, None] + tilt * np.arange(width)[None, :, None]
        paper = np.where(rows % distance < thick, np.array([0.6, 0.7, 0.85]), paper)
    pen = np.array([(0.1, 0.1, 0.12), (0.12, 0.18, 0.5), (0.35, 0.35, 0.37)][int(rng.integers(3))])
    sheet = paper * (1 - cover) + pen * cover
    if "table's edge" in shows:
        table = np.array([(0.35, 0.24, 0.15), (0.15, 0.15, 0.17), (0.55, 0.45, 0.35)][int(rng.integers(3))])
        edge, tilt = rng.uniform(0.04, 0.1), rng.uniform(-0.06, 0.06)
        sides = [x + tilt * y < edge, 1 - x + tilt * y < edge, y + tilt * x < edge, 1 - y + tilt * x < edge]
        for side in rng.permutation(4)[: int(rng.integers(1, 3))]:
            sheet = np.where(sides[side], table, sheet)
    light = 1 - rng.uniform(0, 0.35) * (rng.uniform(-1, 1) * (x - 0.5) + rng.uniform(-1, 1) * (y - 0.5))
    if "shadow" in shows:
        light = light - rng.uniform(0.1, 0.25) / (1 + np.exp(-15 * (x * rng.uniform(0.3, 1) + y - 1.2)))
    photo = np.clip(sheet * light + rng.normal(0, 0.015, (height, width, 1)), 0, 1)
    return Image.fromarray(np.rint(255 * photo).astype(np.uint8)), digits, shows


PICTURES = 50
MNIST = ImagePreprocessor(height=28, width=28, background="dark", content_size=20 / 28, centering="mass")


def saved(picture: Any, folder: Path) -> Path:
    path = folder / "photo.jpg"
    picture.save(path, quality=85)
    return path


def test_each_photograph_gives_as_many_images_as_it_shows_digits(tmp_path: Path) -> None:
    # Ruled paper, also with lines from digit to digit, and tables at one to two sides.
    for seed in (4, 8, 19, 22, 1017, 1091):
        picture, digits, _ = photograph(seed)
        images = prepare_marks(saved(picture, tmp_path), MNIST)
        assert images.shape == (len(digits), 784)
        for image in images.reshape(-1, 28, 28):
            assert abs(max(np.ptp(axis) for axis in np.nonzero(image > 0.2)) + 1 - 20) <= 2


def test_a_picture_as_one_mark_shows_all_of_its_digits(tmp_path: Path) -> None:
    picture, digits, _ = photograph(4)
    assert len(digits) > 1
    image = prepare_marks(saved(picture, tmp_path), MNIST, single=True)[0].reshape(28, 28)
    rows, columns = np.nonzero(image > 0.2)
    assert np.ptp(columns) > 2 * np.ptp(rows)


@pytest.mark.slow
def test_of_photographed_digits_at_least_95_of_100_are_recognised(tmp_path: Path, mnist: Any) -> None:
    model, _ = xpmlp.train(mnist)
    assert model.image_preprocessor is not None
    right, wrong = 0, []
    for seed in range(PICTURES):
        picture, digits, shows = photograph(seed)
        images = prepare_marks(saved(picture, tmp_path), model.image_preprocessor)
        found = xpmlp.predict(model, images, prepared=True).labels.tolist()
        right += sum(a == b for a, b in zip(found, digits, strict=True)) if len(found) == len(digits) else 0
        wrong += [(seed, digits, found, shows)] if found != digits else []
    total = sum(len(photograph(seed)[1]) for seed in range(PICTURES))
    print(f"{right} of {total} digits in {PICTURES} photographs are right", *wrong, sep="\n")
    assert right >= 0.95 * total
    assert unfamiliar(model, mnist.test.x, NumpyBackend()).mean() <= 0.02
