"""Initial weights, drawn on the host so that the same seed gives the same network on every array library.

An initializer draws one layer: ``initializer(generator, models, inputs, outputs)`` returns a weight of shape
``(*models, inputs, outputs)`` and a bias of shape ``(*models, 1, outputs)``, or None for a bias of zeros.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from .layers import Layer, Layers


@runtime_checkable
class Generator(Protocol):
    """A source of random numbers, such as a ``numpy.random.Generator``."""

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> Any:
        """Return numbers drawn uniformly between `low` and `high`."""

    def normal(self, loc: float, scale: float, size: tuple[int, ...]) -> Any:
        """Return normal numbers of mean `loc` and standard deviation `scale`."""


Initializer = Callable[[Generator, tuple[int, ...], int, int], tuple[Any, Any]]


def draws(distribution: str, size: Callable[[int, int], float], *, draw_bias: bool = False) -> Initializer:
    """Return an initializer that draws from U(−r, r) or N(0, s²), where r or s depends on the inputs and outputs."""

    def draw(generator: Generator, models: tuple[int, ...], inputs: int, outputs: int) -> tuple[Any, Any]:
        r = size(inputs, outputs)

        def numbers(rows: int) -> Any:
            shape = (*models, rows, outputs)
            return generator.uniform(-r, r, shape) if distribution == "uniform" else generator.normal(0.0, r, shape)

        return numbers(inputs), numbers(1) if draw_bias else None

    return draw


def glorot_uniform(*, gain: float = 1.0, draw_bias: bool = False) -> Initializer:
    """W ~ U(−r, r) with r = gain √(6 / (inputs + outputs)): Glorot and Bengio (2010), equation 16.

    The same as ``torch.nn.init.xavier_uniform_(weight, gain)``. scikit-learn's ``MLPClassifier`` draws the biases from
    the same interval (``draw_bias=True``), with ``gain=1 / math.sqrt(3)`` for the logistic activation.
    """
    return draws("uniform", lambda inputs, outputs: gain * math.sqrt(6.0 / (inputs + outputs)), draw_bias=draw_bias)


def glorot_normal(*, gain: float = 1.0) -> Initializer:
    """W ~ N(0, s²) with s = gain √(2 / (inputs + outputs)), b = 0; ``torch.nn.init.xavier_normal_``."""
    return draws("normal", lambda inputs, outputs: gain * math.sqrt(2.0 / (inputs + outputs)))


def he_uniform(*, gain: float = math.sqrt(2.0)) -> Initializer:
    """W ~ U(−r, r) with r = gain √(3 / inputs), b = 0; ``torch.nn.init.kaiming_uniform_`` for relu.

    He et al. (2015), equation 10. ``torch.nn.Linear`` uses ``gain=1 / math.sqrt(3)`` by default.
    """
    return draws("uniform", lambda inputs, _: gain * math.sqrt(3.0 / inputs))


def he_normal(*, gain: float = math.sqrt(2.0)) -> Initializer:
    """W ~ N(0, s²) with s = gain / √inputs, b = 0; ``torch.nn.init.kaiming_normal_`` for relu."""
    return draws("normal", lambda inputs, _: gain / math.sqrt(inputs))


def normal(*, scale: float = 0.3) -> Initializer:
    """W ~ N(0, scale²), b = 0, for layers of any size; the notebook uses 0.3."""
    return draws("normal", lambda *_: scale)


INITIALIZERS: dict[str, Callable[[], Initializer]] = {
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "normal": normal,
}


def init_layers(
    xp: Any,
    generator: Generator,
    layer_sizes: Sequence[int],
    initializer: Initializer,
    *,
    models: tuple[int, ...] = (),
    dtype: Any,
    device: Any = None,
) -> Layers:
    """Draw a network.

    Parameters
    ----------
    generator
        Source of the random numbers, on the host: a ``numpy.random.Generator``. It is advanced.
    layer_sizes
        Number of features, the size of each hidden layer, number of outputs: ``(784, 128, 10)`` for the notebook's.
    models
        Leading axes; ``(3,)`` draws a population of three networks.
    dtype, device
        Of the returned arrays. The numbers are drawn in float64, then rounded.
    """
    layers = []
    for inputs, outputs in itertools.pairwise(layer_sizes):
        weight, bias = initializer(generator, models, inputs, outputs)
        layers.append(
            Layer(
                xp.asarray(weight, dtype=dtype, device=device),
                xp.zeros((*models, 1, outputs), dtype=dtype, device=device)
                if bias is None
                else xp.asarray(bias, dtype=dtype, device=device),
            )
        )
    return tuple(layers)
