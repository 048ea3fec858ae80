"""Checkpoints: all that a run needs to be resumed, in one safetensors file that holds data and no code."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Shaped

from xpmlp.errors import DataError, SettingsError
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map
from xpmlp.whole_files import write_whole

from .run import EpochRow, Run

logger = logging.getLogger(__name__)

FORMAT = "xpmlp checkpoint"
FORMAT_VERSION = "1"
FILE_NAME = "epoch-{:06}.safetensors"
FILE_PATTERN = re.compile(r"epoch-(\d+)\.safetensors")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The part of a checkpoint that its file holds as JSON.

    Attributes
    ----------
    history
        One row per whole epoch.
    generator
        State of the generator that draws the rows' order, as ``numpy.random.Generator.bit_generator.state``.
    callbacks
        The state of each callback that has one, by the name of its class.
    settings
        What the run was started with, in plain values; their meaning is the caller's.
    threads
        Number of threads of the run's matrix products, on which their rounding depends; None if unknown.
    loss_scale
        Factor of the losses in the history; None in files of earlier versions, whose ``train_loss`` is the objective
        and whose losses are not scaled.
    """

    history: tuple[EpochRow, ...]
    generator: dict[str, Any]
    callbacks: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    threads: Annotated[int, msgspec.Meta(ge=1)] | None = None
    loss_scale: float | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Record):
    """A run after a whole epoch: its record, and its arrays as NumPy arrays.

    Attributes
    ----------
    layers
        The network.
    optimizer
        The arrays of the optimizer's state, flattened.
    dropout
        The key of the next step's dropout masks; ``()`` without dropout.
    """

    layers: Layers
    optimizer: tuple[Shaped[np.ndarray, "..."], ...]
    dropout: Any

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""
        return len(self.history)

    def scaled(self, loss_scale: float) -> "Checkpoint":
        """Return the checkpoint with the losses of an earlier version's file in this version's unit."""
        if self.loss_scale is not None:
            return self
        rows = (replace(row, objective=row.train_loss, train_loss=None).scaled(loss_scale) for row in self.history)
        callbacks = {
            name: state | ({"best_loss": state["best_loss"] * loss_scale} if "best_loss" in state else {})
            for name, state in self.callbacks.items()
        }
        return replace(self, history=tuple(rows), callbacks=callbacks, loss_scale=loss_scale)

    def training_state(self, like: TrainingState) -> TrainingState:
        """Return the weights, the optimizer's state and the dropout key in the structure of a run's own."""
        if [tuple(array.shape) for array in flatten(like.optimizer)] != [array.shape for array in self.optimizer]:
            raise DataError("The checkpoint has another optimizer or network. Resume with the same settings.")
        if isinstance(self.dropout, tuple) != isinstance(like.dropout, tuple):
            has, has_not = ("run", "checkpoint") if isinstance(self.dropout, tuple) else ("checkpoint", "run")
            raise SettingsError(
                f"dropout: the {has} has dropout, the {has_not} has none. Resume with the same settings."
            )
        arrays = iter(self.optimizer)
        return TrainingState(self.layers, tree_map(lambda _: next(arrays), like.optimizer), self.dropout)

    def restore(self, run: Run) -> None:
        """Restore the random generator and the callbacks of a run whose state is restored already."""
        if not isinstance(run.generator, np.random.Generator):
            raise SettingsError("generator: to resume from a checkpoint, it must be a numpy.random.Generator.")
        run.generator.bit_generator.state = self.generator
        for callback in run.callbacks:
            if state := self.callbacks.get(type(callback).__name__):
                callback.load_state_dict(run, state)


def take_checkpoint(run: Run, state: TrainingState, settings: dict[str, Any]) -> Checkpoint:
    """Return a checkpoint of a run, with the given weights and optimizer state."""
    assert isinstance(run.generator, np.random.Generator)
    fetch = run.backend.to_numpy
    states = {type(callback).__name__: callback.state_dict(run) for callback in run.callbacks}
    return Checkpoint(
        layers=tree_map(fetch, state.layers),
        optimizer=tuple(map(fetch, flatten(state.optimizer))),
        history=tuple(run.history),
        generator=dict(run.generator.bit_generator.state),
        callbacks={name: state for name, state in states.items() if state},
        settings=settings,
        dropout=tree_map(fetch, state.dropout),
        threads=run.threads,
        loss_scale=run.loss_scale,
    )


def flatten(tree: Any) -> list[Any]:
    """Return the arrays of a tree of tuples, in order."""
    arrays: list[Any] = []
    tree_map(arrays.append, tree)
    return arrays


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all; its folder is created if missing.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    states = {name: dict(state) for name, state in checkpoint.callbacks.items()}
    tensors = name_layers("layers", checkpoint.layers)
    tensors |= {f"optimizer.{index}": array for index, array in enumerate(checkpoint.optimizer)}
    if not isinstance(checkpoint.dropout, tuple):
        tensors["dropout"] = checkpoint.dropout
    for name, state in states.items():
        tensors |= name_layers(f"callbacks.{name}", state.pop("layers", ()))
    # Not ascontiguousarray, which gives an array without axes one.
    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    values = {field.name: getattr(checkpoint, field.name) for field in fields(Record)}
    text = json.dumps(values | {"callbacks": states}, default=asdict)
    metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "checkpoint": text}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, safetensors.numpy.save(tensors, metadata | {"sha256": digest(text, tensors)}))


def digest(text: str, tensors: Mapping[str, Any]) -> str:
    """Return a checksum of a checkpoint's content: a corrupted number would otherwise go unnoticed."""
    checksum = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        checksum.update(name.encode())
        checksum.update(tensors[name].tobytes())
    return checksum.hexdigest()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    DataError
        If the file is missing, damaged, foreign or of a newer format.
    """
    try:
        if not path.is_file():
            raise OSError("it is not a regular file" if path.exists() else "there is no such file")
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as a checkpoint ({error}).") from error
    if metadata.get("format") != FORMAT:
        raise DataError(f"{path}: is a safetensors file, but not one of xpmlp's checkpoints.")
    if metadata.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{path}: is of format version {metadata.get('format_version')!r}, expected {FORMAT_VERSION!r}. Resume "
            "with the version of xpmlp that wrote it."
        )
    if metadata.get("sha256") != digest(metadata.get("checkpoint", ""), tensors):
        raise DataError(f"{path}: is a damaged checkpoint (its checksum does not match).")
    try:
        record = msgspec.convert(json.loads(metadata["checkpoint"]), Record)
        for name, state in record.callbacks.items():
            if layers := find_layers(f"callbacks.{name}", tensors):
                state["layers"] = layers
        optimizer = [tensors[f"optimizer.{i}"] for i in range(sum(name.startswith("optimizer.") for name in tensors))]
        return Checkpoint(
            **vars(record),
            layers=find_layers("layers", tensors),
            optimizer=tuple(optimizer),
            dropout=tensors.get("dropout", ()),
        )
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is a damaged checkpoint ({type(error).__name__}: {error}).") from error


def name_layers(prefix: str, layers: Layers) -> dict[str, Any]:
    """Return a network's arrays by their names in a file."""
    return {
        f"{prefix}.{index}.{part}": array
        for index, layer in enumerate(layers)
        for part, array in zip(Layer._fields, layer, strict=True)
    }


def find_layers(prefix: str, tensors: Mapping[str, Any]) -> Layers:
    """Return the network stored under a prefix; an empty one if there is none."""
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in tensors)
    return tuple(Layer(*(tensors[f"{prefix}.{index}.{part}"] for part in Layer._fields)) for index in range(count))


def checkpoint_files(folder: Path) -> list[tuple[int, Path]]:
    """Return the epochs and paths of a folder's checkpoints, newest first."""
    if not folder.is_dir():
        return []
    matches = ((FILE_PATTERN.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)


def newest_checkpoint(folder: Path) -> Checkpoint:
    """Return a folder's newest checkpoint that can be read; a warning names damaged ones.

    Raises
    ------
    DataError
        If there is none.
    """
    for _, path in checkpoint_files(folder):
        try:
            return load_checkpoint(path)
        except DataError as error:
            logger.warning("%s An older one is used instead.", error)
    raise DataError(
        f"{folder}: holds no checkpoint that can be read, so there is nothing to resume. Start the run again, with "
        "--checkpoint-every 1 to save them."
    )
