"""Finding the ink in a picture: what stands out from the one background that reaches the picture's border."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

# A pixel belongs to the ink's bounding box if it stands out by this fraction of full ink. Training images and pictures
# are measured alike, or the same digit would come out larger from one than from the other.
BOX_THRESHOLD = 0.2
# A contrast to the background below this, on a scale of 0 (black) to 1 (white), does not count as ink.
FAINTEST_INK = 0.06


def border_mask(height: int, width: int, *, wide: bool = False) -> Bool[np.ndarray, "height width"]:
    """Return a mask of an image's border: its outermost pixels, or a fortieth of the shorter side if `wide`."""
    thickness = max(1, min(height, width) // 40) if wide else 1
    mask = np.ones((height, width), bool)
    mask[thickness : height - thickness, thickness : width - thickness] = False
    return mask


def grey_planes(picture: Any) -> list[Float32[np.ndarray, "height width"]]:
    """Return the luminance of a picture in mode L, RGB or F, from 0 to 1; if it has color, also red, green and blue."""
    if picture.mode == "F":
        return [np.asarray(picture)]
    luminance = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    if picture.mode == "L":
        return [luminance]
    red, green, blue = (np.asarray(band, dtype=np.float32) / 255 for band in picture.split())
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return [luminance]
    return [luminance, red, green, blue]


def find_ink(
    picture: Any, longest_side: int
) -> tuple[Float32[np.ndarray, "height width"], Bool[np.ndarray, "height width"]] | None:
    """Find the ink in a picture.

    Parameters
    ----------
    picture
        A Pillow image in mode L, RGB or F.
    longest_side
        Of the image that is made of it, in pixels.

    Returns
    -------
    contrast, is_ink
        How far each pixel stands out from the background, positive for ink, and which pixels are ink. None if the
        picture is blank.
    """
    from scipy import ndimage

    planes = grey_planes(picture)
    if picture.mode == "F" and planes[0].max() > 0:
        # Deep pictures often use only the lowest part of their range.
        planes = [planes[0] / planes[0].max()]
    height, width = planes[0].shape
    # Smooth noise away for the search if there are pixels to spare.
    blur = 1.0 if max(height, width) >= 4 * longest_side else 0.0
    # The rank, in the blurred map, of a level that a speck of dust does not reach.
    rank = max(1, height * width // 10_000)

    contrast, smooth, peak = planes[0], planes[0], -np.inf
    for index, plane in enumerate(planes):
        candidate = plane - fit_background(plane)
        blurred = ndimage.gaussian_filter(candidate, blur) if blur else candidate
        if (blurred * np.abs(blurred)).sum(dtype=np.float64) < 0:
            candidate, blurred = -candidate, -blurred
        height_reached = float(np.partition(blurred, -rank, axis=None)[-rank])
        # Luminance comes first and is the least noisy: a color must show the ink clearly better.
        if index == 0 or height_reached > 1.5 * peak:
            contrast, smooth, peak = candidate, blurred, height_reached

    noise = 1.4826 * float(np.median(np.abs(smooth[border_mask(height, width, wide=True)])))
    if peak < max(FAINTEST_INK, min(5 * noise, 0.4)):
        return None
    full = float(smooth[smooth >= peak / 2].mean())
    threshold = min(max(BOX_THRESHOLD * full, 5 * noise, FAINTEST_INK / 2), 0.4 * full)
    labels, count = ndimage.label(smooth > threshold, structure=np.ones((3, 3)))
    # Shadows have no core as strong as ink, dust is small, and a scanner's dark edge hugs the picture's. Label 0 is the
    # background.
    mass = np.bincount(labels.ravel(), weights=smooth.ravel(), minlength=count + 1)
    has_core = np.bincount(labels[smooth >= full / 2], minlength=count + 1) > 0
    has_core[0] = False
    is_inside = np.array([False, *(not hugs_edge(part, height, width) for part in ndimage.find_objects(labels))])
    kept = has_core & is_inside if (has_core & is_inside).any() else has_core
    kept &= mass >= 0.03 * mass[kept].max()
    # Smoothing spread the ink by a pixel: undo that.
    return contrast, kept[labels] & (contrast > threshold)


def fit_background(plane: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Return the brightness of the background under the ink: a quadratic surface, for uneven light and soft shadows.

    It starts as the plane through most of the picture's border, and is then fitted to all pixels that agree with it.
    """
    height, width = plane.shape
    rows = np.linspace(0, height - 1, min(height, 64)).round().astype(int)
    columns = np.linspace(0, width - 1, min(width, 64)).round().astype(int)
    samples = plane[np.ix_(rows, columns)].astype(np.float64).ravel()
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    powers = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
    terms = np.stack([(y[rows] ** i * x[:, columns] ** j).ravel() for i, j in powers], axis=1)

    border = border_mask(len(rows), len(columns), wide=True).ravel()
    border_terms, border_samples = terms[border, :3], samples[border]
    coefficients: Any = np.array([np.median(border_samples), 0.0, 0.0])
    # Least absolute residuals, by iteratively reweighted least squares: ink at the border does not move the plane.
    for _ in range(20):
        weights = 1 / np.sqrt(np.maximum(np.abs(border_samples - border_terms @ coefficients), 1e-3))
        coefficients = np.linalg.lstsq(border_terms * weights[:, None], border_samples * weights)[0]
    residual = samples - terms[:, :3] @ coefficients
    coefficients = np.concatenate([coefficients, np.zeros(3)])
    tolerance = min(max(4 * float(np.median(np.abs(residual[border]))), 0.02), 0.25)
    for _ in range(5):
        agreeing = np.abs(residual) <= tolerance
        if agreeing.sum() < 12:
            break
        coefficients = np.linalg.lstsq(terms[agreeing], samples[agreeing])[0]
        residual = samples - terms @ coefficients
    surface = sum(coefficient * y**i * x**j for coefficient, (i, j) in zip(coefficients, powers, strict=True))
    return np.asarray(surface, np.float32)


def hugs_edge(part: tuple[slice, slice], height: int, width: int) -> bool:
    """Return whether a part touches the picture's edge and reaches no deeper than a sixteenth of the picture."""
    return any(
        (along.start == 0 and along.stop <= side / 16) or (along.stop == side and along.start >= side * 15 / 16)
        for along, side in zip(part, (height, width), strict=True)
    )
