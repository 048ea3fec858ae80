"""All that a run needs to go on where it was, in one file that is data alone."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Shaped

from xpmlp.errors import DataError
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.tree import tree_map

from .history import EpochRow

FORMAT = "xpmlp checkpoint"
FORMAT_VERSION = "1"


class Kept(NamedTuple):
    """What a callback keeps in a checkpoint: plain values, and a network where it remembers one."""

    values: dict[str, Any]
    layers: Layers | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A run after a whole epoch.

    Attributes
    ----------
    layers
        The network, as NumPy arrays.
    optimizer
        The arrays of the optimizer's state, in the order of the tree that it is; NumPy arrays.
    history
        A row for each whole epoch.
    generator
        The state of the generator that draws the rows' order, as ``numpy.random.Generator.bit_generator.state``.
    callbacks
        What each callback that has something to keep kept, by the name of its class.
    settings
        What the run was started with, in plain values; their meaning is whoever's started it.
    """

    layers: Layers
    optimizer: tuple[Shaped[np.ndarray, "..."], ...]
    history: tuple[EpochRow, ...]
    generator: dict[str, Any]
    callbacks: Mapping[str, Kept] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    def optimizer_state(self, like: Any) -> Any:
        """Return the optimizer's state as the tree that it was.

        Parameters
        ----------
        like
            A state of the same optimizer for a network of the same shapes.

        Raises
        ------
        DataError
            Where it is another optimizer's or another network's.
        """
        expected = arrays_of(like)
        if [tuple(array.shape) for array in expected] != [array.shape for array in self.optimizer]:
            raise DataError("the checkpoint's optimizer is another than the one to go on with.")
        arrays = iter(self.optimizer)
        return tree_map(lambda _: next(arrays), like)


def arrays_of(tree: Any) -> list[Any]:
    """Return the arrays of a tree of tuples, in order."""
    arrays: list[Any] = []
    tree_map(arrays.append, tree)
    return arrays


def checkpoint_to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the content of a file that holds a checkpoint."""
    tensors = dict(named_layers("layers", checkpoint.layers))
    tensors |= {f"optimizer.{index}": array for index, array in enumerate(checkpoint.optimizer)}
    for name, kept in checkpoint.callbacks.items():
        tensors |= named_layers(f"callbacks.{name}", kept.layers or ())
    description = {
        "history": [asdict(row) for row in checkpoint.history],
        "generator": checkpoint.generator,
        "callbacks": {name: kept.values for name, kept in checkpoint.callbacks.items()},
        "settings": dict(checkpoint.settings),
    }
    text = json.dumps(description)
    # Not ascontiguousarray, which would give an array without axes one.
    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "checkpoint": text}
    return safetensors.numpy.save(tensors, metadata | {"sha256": digest(text, tensors)})


def digest(text: str, tensors: Mapping[str, Any]) -> str:
    """Return a checksum of what a checkpoint holds: a spoiled number is as bad as a spoiled file, and harder to see."""
    checksum = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        checksum.update(name.encode())
        checksum.update(tensors[name].tobytes())
    return checksum.hexdigest()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read the checkpoint in `path`.

    Raises
    ------
    DataError
        Where there is none, or it is damaged, foreign or of a newer format.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as a checkpoint ({error}).") from error
    if metadata.get("format") != FORMAT:
        raise DataError(f"{path}: is a safetensors file, but not one of xpmlp's checkpoints.")
    if metadata.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{path}: is of format version {metadata.get('format_version')!r}, expected {FORMAT_VERSION!r}. Go on with "
            "the version of xpmlp that wrote it."
        )
    if metadata.get("sha256") != digest(metadata.get("checkpoint", ""), tensors):
        raise DataError(f"{path}: is a damaged checkpoint (its checksum does not match).")
    try:
        return parse_checkpoint(json.loads(metadata["checkpoint"]), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: is a damaged checkpoint ({type(error).__name__}: {error}).") from error


def parse_checkpoint(description: dict[str, Any], tensors: dict[str, Any]) -> Checkpoint:
    """Put together what a file holds."""
    optimizer = [name for name in tensors if name.startswith("optimizer.")]
    return Checkpoint(
        layers=layers_named("layers", tensors),
        optimizer=tuple(tensors[f"optimizer.{index}"] for index in range(len(optimizer))),
        history=tuple(EpochRow(**row) for row in description["history"]),
        generator=description["generator"],
        callbacks={
            name: Kept(values, layers_named(f"callbacks.{name}", tensors) or None)
            for name, values in description["callbacks"].items()
        },
        settings=description["settings"],
    )


def named_layers(prefix: str, layers: Layers) -> dict[str, Any]:
    """Return the arrays of a network by the names that they have in a file."""
    return {
        f"{prefix}.{index}.{part}": array
        for index, layer in enumerate(layers)
        for part, array in zip(Layer._fields, layer, strict=True)
    }


def layers_named(prefix: str, tensors: dict[str, Any]) -> Layers:
    """Return the network of that name in a file; one without layers where there is none."""
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in tensors)
    return tuple(Layer(*(tensors[f"{prefix}.{index}.{part}"] for part in Layer._fields)) for index in range(count))
