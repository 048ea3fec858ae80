"""Finding the ink in a picture: what stands out from the one background that reaches the picture's border."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

# A pixel belongs to the ink's bounding box if it stands out by this fraction of full ink. Training images and pictures
# are measured alike, or the same digit would come out larger from one than from the other.
BOX_THRESHOLD = 0.2
# A contrast to the background below this, on a scale of 0 (black) to 1 (white), does not count as ink.
FAINTEST_INK = 0.06
# Lines of ruled paper reach at most this fraction of full ink, and are at least so many times longer than thick.
BRIGHTEST_LINE, LINE_ASPECT = 0.5, 4


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


def find_marks(
    picture: Any, longest_side: int, *, may_crop: bool = True
) -> tuple[Float32[np.ndarray, "height width"], list[Bool[np.ndarray, "height width"]]] | None:
    """Find the marks in a picture: the digits of ``314``, or the one thing that it shows.

    What reaches the picture's border is not ink if something else is: the table beside a sheet, its dark edge, the
    lines of ruled paper. A sheet that lies on something is cropped to.

    Parameters
    ----------
    picture
        A Pillow image in mode L, RGB or F.
    longest_side
        Of the image that is made of a mark, in pixels.
    may_crop
        Whether the result may show a part of the picture.

    Returns
    -------
    contrast, marks
        How far each pixel stands out from the background, positive for ink, and which pixels are each mark's, in the
        order of reading. None if the picture is blank.
    """
    planes = grey_planes(picture)
    if picture.mode == "F" and planes[0].max() > 0:
        # Deep pictures often use only the lowest part of their range.
        planes = [planes[0] / planes[0].max()]
    # Smooth noise away for the search if there are pixels to spare.
    blur = 1.0 if max(planes[0].shape) >= 4 * longest_side else 0.0
    found = find_ink(planes, blur)
    if found is not None and may_crop and (sheet := find_sheet(found[1])) is not None:
        found = find_ink([plane[sheet] for plane in planes], blur) or found
    return None if found is None else (found[0], split_marks(*found))


def find_ink(
    planes: list[Float32[np.ndarray, "height width"]], blur: float
) -> tuple[Float32[np.ndarray, "height width"], Bool[np.ndarray, "height width"]] | None:
    """Return the contrast of each pixel, and which pixels are ink; None if nothing stands out."""
    from scipy import ndimage

    height, width = planes[0].shape
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

    at_border = smooth[border_mask(height, width, wide=True)]
    noise = 1.4826 * min(float(np.median(np.abs(at_border))), float(np.median(np.abs(smooth))))
    if peak < max(FAINTEST_INK, min(5 * noise, 0.4)):
        return None
    lowest = max(5 * noise, FAINTEST_INK / 2)
    inside, level = inside_border(smooth, lowest, peak)
    if inside is not None:
        smooth = np.where(inside, smooth, np.float32(0))
        peak = float(np.partition(smooth, -rank, axis=None)[-rank])
    full = float(smooth[smooth >= peak / 2].mean())
    threshold = max(level, min(max(BOX_THRESHOLD * full, lowest), 0.4 * full))
    labels, count = ndimage.label(smooth > threshold, structure=np.ones((3, 3)))
    # Shadows have no core as strong as ink, and dust is small. Label 0 is the background.
    mass = np.bincount(labels.ravel(), weights=smooth.ravel(), minlength=count + 1)
    kept = np.bincount(labels[smooth >= full / 2], minlength=count + 1) > 0
    kept[0] = False
    kept &= mass >= 0.03 * mass[kept].max()
    # Smoothing spread the ink by a pixel: undo that.
    is_ink = kept[labels] & (contrast > threshold)
    return contrast, is_ink & ~find_lines(is_ink, smooth > BRIGHTEST_LINE * full)


def find_lines(
    is_ink: Bool[np.ndarray, "height width"], is_strong: Bool[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of ruled lines: thin, straight pieces of ink that is not strong, between the strokes."""
    from scipy import ndimage

    strokes = ndimage.binary_dilation(is_strong, structure=np.ones((3, 3)), iterations=max(2, min(is_ink.shape) // 160))
    labels, count = ndimage.label(is_ink & ~strokes, structure=np.ones((3, 3)))
    is_line = np.zeros(count + 1, bool)
    for index, part in enumerate(ndimage.find_objects(labels), start=1):
        shorter, longer = sorted(p.stop - p.start for p in part)
        is_line[index] = longer >= LINE_ASPECT * shorter
    return np.asarray(is_line[labels])


def inside_border(
    smooth: Float32[np.ndarray, "height width"], lowest: float, peak: float
) -> tuple[Bool[np.ndarray, "height width"] | None, float]:
    """Return what stands out without reaching the border, with its surroundings, and the level from which it does so.

    Lines of ruled paper tie the ink to the border: levels rise until they vanish. None, and 0, if what reaches the
    border is the ink itself, cropped close.
    """
    from scipy import ndimage

    shortest = min(smooth.shape)
    border = border_mask(*smooth.shape)
    best: tuple[Any, float, float] = (None, 0.0, 0.0)
    for level in np.geomspace(lowest, max(0.7 * peak, lowest), 10):
        labels, count = ndimage.label(smooth > level, structure=np.ones((3, 3)))
        energy = np.bincount(labels.ravel(), weights=np.square(smooth, dtype=np.float64).ravel(), minlength=count + 1)
        contact = np.bincount(labels[border], minlength=count + 1)
        large = [max(p.stop - p.start for p in part) >= shortest / 20 for part in ndimage.find_objects(labels)]
        is_free = (contact == 0) & np.array([False, *large])
        # Ink that is cut by the border touches it briefly; a table or the edge of a scanner along a side.
        is_cut = (contact > 0) & (contact < shortest / 4)
        is_cut[0] = False
        free = float(energy[is_free].sum())
        if free > 1.25 * best[2] and free > 0.5 * float(energy[is_cut].sum()):
            best = (~((contact > 0)[labels] & (labels > 0)), float(level), free)
    mask, highest, _ = best
    return mask, highest if mask is not None and highest > lowest else 0.0


def find_sheet(is_ink: Bool[np.ndarray, "height width"]) -> tuple[slice, slice] | None:
    """Return where a sheet lies if that is what stands out: something large and solid, whose holes are the ink."""
    from scipy import ndimage

    solid = ndimage.binary_fill_holes(is_ink)
    box = ndimage.find_objects(solid.astype(np.int8))[0]
    is_sheet = solid[box].size >= 0.2 * solid.size and solid[box].mean() >= 0.85
    return tuple(box) if is_sheet else None


def split_marks(
    contrast: Float32[np.ndarray, "height width"], is_ink: Bool[np.ndarray, "height width"]
) -> list[Bool[np.ndarray, "height width"]]:
    """Return the ink of each mark, line by line and from left to right.

    Parts above each other are one mark, such as a 5 and its bar, unless a gap as between lines is between them. Small
    parts belong to the nearest mark.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(is_ink, structure=np.ones((3, 3)))
    boxes = [np.array([[p.start, p.stop] for p in part]) for part in ndimage.find_objects(labels)]
    sizes = np.array([np.ptp(box, axis=1).max() for box in boxes])
    mark_of = np.arange(len(boxes))

    def gaps(a: Any, b: Any) -> Any:
        """How far two boxes are apart along each axis; negative where they overlap."""
        return np.maximum(a[:, 0], b[:, 0]) - np.minimum(a[:, 1], b[:, 1])

    order = np.argsort(-sizes)
    for position, index in enumerate(order[1:], start=1):
        larger = order[:position]
        apart = np.array([gaps(boxes[index], boxes[other]) for other in larger])
        distance = np.hypot(*np.maximum(apart, 0).T)
        if sizes[index] < 0.4 * sizes.max():
            nearest = larger[int(np.argmin(distance))]
            mark_of[index] = mark_of[nearest] if distance.min() < 0.5 * sizes.max() else -1
            continue
        for other, (above, beside) in zip(larger, apart, strict=True):
            narrower = min(np.ptp(boxes[index][1]), np.ptp(boxes[other][1]))
            if -beside > 0.4 * narrower and above < 0.2 * sizes[other]:
                mark_of[index] = mark_of[other]
                break
    marks = [np.isin(labels, np.flatnonzero(mark_of == mark) + 1) & is_ink for mark in np.unique(mark_of[mark_of >= 0])]
    parts = [np.array([[p.start, p.stop] for p in ndimage.find_objects(mark.astype(np.int8))[0]]) for mark in marks]
    lines: list[list[int]] = []
    for index in sorted(range(len(marks)), key=lambda index: parts[index][0].sum()):
        # Marks of one line overlap, seen from the side.
        overlaps = [-gaps(parts[index], parts[line[-1]])[0] for line in lines[-1:]]
        if overlaps and overlaps[0] > 0.3 * min(np.ptp(parts[other][0]) for other in (index, lines[-1][-1])):
            lines[-1].append(index)
        else:
            lines.append([index])
    return [marks[index] for line in lines for index in sorted(line, key=lambda index: parts[index][1][0])]


def fit_background(plane: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Return the brightness of the background under the ink: a quadratic surface, for uneven light and soft shadows.

    It starts as the plane through most of the picture's border, or through most of the picture if that is more and also
    reaches the border: a sheet on a table. It is then fitted to all pixels that agree with it.
    """
    height, width = plane.shape
    rows = np.linspace(0, height - 1, min(height, 64)).round().astype(int)
    columns = np.linspace(0, width - 1, min(width, 64)).round().astype(int)
    samples = plane[np.ix_(rows, columns)].astype(np.float64).ravel()
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    powers = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
    terms = np.stack([(y[rows] ** i * x[:, columns] ** j).ravel() for i, j in powers], axis=1)

    def fit(among: Bool[np.ndarray, " samples"]) -> tuple[Any, Bool[np.ndarray, " samples"]]:
        """Fit a surface that starts among some of the samples; return its coefficients and which samples lie on it."""
        first_terms, first = terms[among, :3], samples[among]
        coefficients: Any = np.array([np.median(first), 0.0, 0.0])
        # Least absolute residuals, by iteratively reweighted least squares: the ink does not move the plane.
        for _ in range(20):
            weights = 1 / np.sqrt(np.maximum(np.abs(first - first_terms @ coefficients), 1e-3))
            coefficients = least_squares(first_terms * weights[:, None], first * weights)
        residual = samples - terms[:, :3] @ coefficients
        coefficients = np.concatenate([coefficients, np.zeros(3)])
        tolerance = min(max(4 * float(np.median(np.abs(residual[among]))), 0.02), 0.25)
        for _ in range(5):
            agreeing = np.abs(residual) <= tolerance
            if agreeing.sum() < 12:
                break
            coefficients = least_squares(terms[agreeing], samples[agreeing])
            residual = samples - terms @ coefficients
        return coefficients, np.abs(residual) <= FAINTEST_INK

    border = border_mask(len(rows), len(columns), wide=True).ravel()
    coefficients, near = fit(border)
    if near.mean() < 0.8:
        others, nearer = fit(np.ones_like(border))
        if nearer.mean() > max(near.mean(), 0.5) and nearer[border].mean() >= 0.35:
            coefficients = others
    surface = sum(coefficient * y**i * x**j for coefficient, (i, j) in zip(coefficients, powers, strict=True))
    return np.asarray(surface, np.float32)


def least_squares(terms: Any, values: Any) -> Any:
    """Return the coefficients of a least-squares fit, by the normal equations: the terms are few and alike in size."""
    return np.linalg.lstsq(terms.T @ terms, terms.T @ values)[0]
