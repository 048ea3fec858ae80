"""Folders of four IDX files in MNIST's layout: MNIST, Fashion-MNIST, KMNIST, EMNIST and the like."""

import math
import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from xpmlp.errors import DataError

from .dataset import Dataset, Provenance, class_indices, listing
from .idx import IdxFile, read_idx
from .memory import Memory, format_bytes
from .scaling import find_scale
from .streaming.images import make_split, memory_needed, stream_images

# The usual name of each file.
FILE_NAMES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "test-images": "t10k-images-idx3-ubyte",
    "test-labels": "t10k-labels-idx1-ubyte",
}
FILE_NAME = re.compile(
    r"((?P<prefix>.+)-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]idx\d+-[a-z0-9]+(?P<gzip>\.gz)?"
)


def load_idx_folder(folder: str | Path, memory: str | int | None = None) -> Dataset:
    """Read the four IDX files of a folder.

    They have MNIST's names, ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-…`` and
    ``t10k-labels-…``, or with ``test`` for ``t10k`` or ``.idx`` for ``-idx``; each plain or with ``.gz`` at the end.
    If all four names start with a prefix, as EMNIST's do, `folder` may also be ``FOLDER/PREFIX``. It must be if a
    folder holds several datasets. Files that take more than that memory, by default most of the free one, are streamed.

    Raises
    ------
    DataError
        If files are missing, damaged, or do not match.
    """
    folder, prefix = Path(folder), None
    if not os.path.isdir(folder):
        if folder.name not in idx_prefixes(folder.parent):
            raise DataError(f"{folder}: no such folder, and no IDX files with this prefix. Give a folder of IDX files.")
        folder, prefix = folder.parent, folder.name

    sets = find_idx_files(folder)
    if not sets:
        raise DataError(
            f"{folder}: no IDX files in this folder. Expected {', '.join(FILE_NAMES.values())} (plain or .gz), or the "
            "same names after a prefix."
        )
    if prefix is None and len(sets) > 1 and "" not in sets:
        paths = ", ".join(str(folder / prefix) for prefix in sets)
        raise DataError(f"{folder}: IDX files of {len(sets)} datasets. Name one of them as FOLDER/PREFIX: {paths}.")
    prefix = min(sets) if prefix is None else prefix  # files without a prefix go before others
    files = sets[prefix]
    missing = missing_names(prefix, files)
    if missing:
        others = [str(folder / other) for other in sets if other not in ("", prefix)]
        hint = f" (The folder also holds {', '.join(others)}.)" if others else ""
        raise DataError(
            f"{folder}: of the four IDX files, {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing "
            f"(plain or .gz).{hint} Put them into this folder."
        )

    name = prefix or folder.resolve().name
    source = f"IDX files {prefix}-… in the folder {folder}" if prefix else f"IDX files in the folder {folder}"
    provenance = Provenance("idx", os.path.abspath(folder / prefix))
    swap = stores_images_transposed(prefix)
    return read_idx_files(files, name=name, source=source, provenance=provenance, swap_axes=swap, memory=memory)


def stores_images_transposed(prefix: str) -> bool:
    """Return whether files with this prefix store their images column by column, as EMNIST does."""
    return prefix.lower().startswith("emnist")


def find_idx_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the file of each role in `FILE_NAMES`, for each prefix in a folder; ``""`` for names without one.

    A plain file goes before a gzipped one.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read ({error.strerror or error}). Expected a folder of IDX files."
        ) from error
    candidates = []
    for entry in entries:
        match = FILE_NAME.fullmatch(entry.name)
        if match:
            # Some archives unpack each file into a folder of its own name.
            candidates.append((entry.is_dir(), match["gzip"] is not None, entry.name, match))
    sets: dict[str, dict[str, Path]] = {}
    for _, _, name, match in sorted(candidates, key=lambda candidate: candidate[:3]):
        role = f"{'train' if match['split'] == 'train' else 'test'}-{match['kind']}"
        sets.setdefault(match["prefix"] or "", {}).setdefault(role, folder / name)
    return dict(sorted(sets.items()))


def idx_prefixes(folder: Path) -> list[str]:
    """Return the prefixes of the IDX files in a folder; none if it cannot be read."""
    try:
        return [prefix for prefix in find_idx_files(folder) if prefix]
    except DataError:
        return []


def missing_names(prefix: str, files: dict[str, Path]) -> list[str]:
    """Return the usual names of the files that are missing."""
    names = [name for role, name in FILE_NAMES.items() if role not in files]
    return [f"{prefix}-{name.replace('t10k', 'test')}" for name in names] if prefix else names


def read_idx_files(
    files: dict[str, Path],
    *,
    name: str,
    source: str,
    provenance: Provenance,
    swap_axes: bool = False,
    memory: str | int | None = None,
) -> Dataset:
    """Read, check and scale the four files in `FILE_NAMES`; swap the axes of images stored column by column."""
    images = {split: open_images(files[f"{split}-images"]) for split in ("train", "test")}
    labels = {split: read_labels(files[f"{split}-labels"]) for split in ("train", "test")}
    for split in ("train", "test"):
        if len(images[split]) != len(labels[split]):
            raise DataError(
                f"{files[f'{split}-images']} holds {len(images[split])} images, but {files[f'{split}-labels']} "
                f"{len(labels[split])} labels. Every image needs its label: get both files from the same place."
            )
    ours, theirs = ([f"shape {file.shape[1:]}", f"dtype {file.dtype}"] for file in images.values())
    for our, their in zip(ours, theirs, strict=True):
        if our != their:
            raise DataError(
                f"{files['train-images']} holds images of {our}, but {files['test-images']} of {their}. Get both from "
                "the same place."
            )

    classes = tuple(int(label) for label in np.unique(labels["train"]))
    if len(classes) < 2:
        raise DataError(f"{files['train-labels']}: all labels are {classes[0]}. At least 2 classes are needed.")
    try:
        class_indices(labels["test"], classes)
    except DataError as error:
        raise DataError(f"{files['test-labels']}: {error} These are the classes of {files['train-labels']}.") from error

    shape = images["train"].shape[1:]
    shape = (*shape[1::-1], *shape[2:]) if swap_axes else shape
    if (limit := find_limit(images, memory)) is not None:
        stream, splits, scale = stream_images(images, labels, limit, name=name, swap_axes=swap_axes)
        why = f"about {format_bytes(memory_needed(images.values()))} in memory, more than {limit.reason}"
        streamed: dict[str, Any] = {"stream": stream, "why_streamed": why}
    else:
        splits, scale, streamed = [], 0.0, {}
        for split, file in images.items():
            raw = file.read()
            scale = scale or find_scale(raw, what=str(file.path))  # that of the training images
            splits.append(make_split(raw, scale, labels[split], what=str(file.path), swap_axes=swap_axes))
    notes = ("EMNIST stores its images transposed; rows and columns were swapped.",) if swap_axes else ()
    train, test = splits
    return Dataset(name, train, test, classes, shape, scale, source, notes, provenance=provenance, **streamed)


def find_limit(images: dict[str, IdxFile], memory: str | int | None) -> Memory | None:
    """Return the memory that images may take if they take more and can be streamed; else None."""
    limit, needed = Memory.of(memory), memory_needed(images.values())
    if limit is None or needed <= limit.limit:
        return None
    packed = next((file.path for file in images.values() if not file.is_plain), None)
    if packed is not None and memory is not None:
        raise DataError(
            f"{packed}: the images take about {format_bytes(needed)} in memory, more than {limit.reason}, and "
            f"compressed files cannot be streamed. Decompress it: gunzip {shlex.quote(str(packed))}"
        )
    return limit if packed is None else None


def open_images(path: Path) -> IdxFile:
    """Open a file of images: at least one, of at least one pixel."""
    images = IdxFile(path)
    if len(images.shape) < 2:
        raise DataError(
            f"{path}: its shape is {images.shape}; expected images along the first axis. "
            "Are the images and the labels mixed up?"
        )
    if not math.prod(images.shape):
        raise DataError(f"{path}: has no pixels; its shape is {images.shape}. Get a file with images.")
    return images


def read_labels(path: Path) -> Int64[np.ndarray, " rows"]:
    """Return the labels of a file."""
    labels = read_idx(path)
    if labels.ndim != 1:
        raise DataError(
            f"{path}: its shape is {labels.shape}; expected labels, a number for each image. "
            "Are the images and the labels mixed up?"
        )
    if labels.dtype.kind == "f":
        # Up to 2^53, floating-point numbers are exact; NaN and infinity fail the comparison too.
        wrong = ~((np.abs(labels) <= 2**53) & (np.trunc(labels) == labels))
        if wrong.any():
            first = listing(labels[wrong][:1].tolist(), most=1)
            raise DataError(
                f"{path}: {np.count_nonzero(wrong)} labels are not whole numbers; the first is {first}. "
                "Number the classes."
            )
    return labels.astype(np.int64)
