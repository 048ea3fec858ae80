"""Benchmark settings: the network, how it is trained, and what a sweep varies."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from xpmlp.errors import SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.training import OPTIMIZERS
from xpmlp.training.recipes import DTYPES


@dataclass(frozen=True)
class BenchSettings:
    """A network and how it is trained; the defaults are the notebook's."""

    hidden_layer_sizes: tuple[int, ...] = (128,)
    activation: str = "tanh"
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    batch_size: int = 128
    dtype: str = "float32"
    rows: int | None = None  # per epoch; None for all of the workload's
    rounds: int = 7  # timings of each candidate, after warm-up
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate the settings."""
        counts = {"batch size": self.batch_size, "rounds": self.rounds, "rows": 1 if self.rows is None else self.rows}
        counts |= {f"hidden layer {index + 1}": size for index, size in enumerate(self.hidden_layer_sizes)}
        for name, count in counts.items():
            if count < 1:
                raise SettingsError(f"{name}: {count} is too few; at least 1 is needed.")
        for name, choices in (("activation", ACTIVATIONS), ("optimizer", OPTIMIZERS), ("dtype", DTYPES)):
            if (value := getattr(self, name)) not in choices:
                raise SettingsError(f"{name}: {value!r} is not one of {', '.join(choices)}.")

    def steps(self, rows: int) -> int:
        """Return the number of steps in an epoch of `rows` rows."""
        return -(-rows // self.batch_size)


class Swept(NamedTuple):
    """What can be swept: its name on an axis, the settings with a value of it, and its value in settings."""

    axis: str
    apply: Callable[[BenchSettings, int], BenchSettings]
    value: Callable[[BenchSettings], Any]


SWEPT = {
    "batch-size": Swept("batch size", lambda s, rows: replace(s, batch_size=rows), lambda s: s.batch_size),
    "hidden": Swept(
        "hidden units", lambda s, units: replace(s, hidden_layer_sizes=(units,)), lambda s: s.hidden_layer_sizes[0]
    ),
    "depth": Swept(  # all layers are as wide as the first
        "hidden layers",
        lambda s, layers: replace(s, hidden_layer_sizes=s.hidden_layer_sizes[:1] * layers),
        lambda s: len(s.hidden_layer_sizes),
    ),
    "rows": Swept("rows per epoch", lambda s, rows: replace(s, rows=rows), lambda s: s.rows),
}


class Sweep(NamedTuple):
    """A setting and its values, in ascending order."""

    name: str
    values: tuple[int, ...]

    def apply(self, settings: BenchSettings) -> list[BenchSettings]:
        """Return the settings with each of the values."""
        if self.name == "depth" and not settings.hidden_layer_sizes:
            raise SettingsError("--sweep depth: there is no hidden layer to repeat. Give --hidden a size.")
        return [SWEPT[self.name].apply(settings, value) for value in self.values]


def parse_sweep(text: str) -> Sweep:
    """Parse a sweep such as ``"batch-size=32,128,512"``, of positive whole numbers."""
    name, _, values = text.partition("=")
    name = name.strip().replace("_", "-")
    if name not in SWEPT:
        raise SettingsError(f"--sweep: {name!r} is not one of {', '.join(SWEPT)}. Write batch-size=32,128,512.")
    try:
        numbers = tuple(int(part.replace("_", "")) for part in values.split(","))
    except ValueError:
        numbers = (0,)
    if min(numbers) < 1:
        raise SettingsError(
            f"--sweep {name}: {values!r} is not a list of positive whole numbers. Write {name}=32,128,512."
        )
    return Sweep(name, tuple(sorted(set(numbers))))
