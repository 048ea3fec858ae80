"""The objective and its gradients are those that PyTorch and JAX derive of the network written in their own terms."""

import functools
import importlib
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import DEFAULT_QUANTILES, LOSSES

LINEAR = [("identity", loss, (), False) for loss in LOSSES]
CASES: list[tuple[str, str, tuple[int, ...], bool]] = [
    *((activation, loss, (6, 5, 4), True) for activation, loss in zip(ACTIVATIONS, itertools.cycle(LOSSES))),
    ("mish,relu,tanh", "squared_error", (6, 5, 4), True),
    *LINEAR,
]


def write_objective(library: Any, problem: Any, activation: str, loss: str, layers: Any) -> Any:
    """The objective in a library's own functions."""
    *hidden, (last_weight, last_bias) = layers
    a, y = problem.x, problem.targets
    for index, (weight, bias) in enumerate(hidden):
        a = getattr(library, [*activation.split(","), *[activation] * 3][index])(a @ weight + bias)
    z = a @ last_weight + last_bias
    losses = {
        "softmax_cross_entropy": lambda: -y * library.log_softmax(z),
        "logistic_cross_entropy": lambda: -y * library.log_sigmoid(z) - (1 - y) * library.log_sigmoid(-z),
        "squared_error": lambda: (z - y) ** 2 / 2,
        "poisson": lambda: library.exp(z) - y * z + library.xlogy(y, y) - y,
        "gamma": lambda: z + y * library.exp(-z) - 1 - library.log(y),
        "absolute_error": lambda: library.abs(z - y),
        "huber": lambda: library.huber(z, y),
        "quantile": lambda: library.maximum(library.levels * (y - z), (library.levels - 1) * (y - z)),
    }[loss]().sum(-1)
    if problem.sample_weight is None:
        return losses.mean()
    squares = sum((weight**2).sum() for weight, _ in layers)
    return (losses @ problem.sample_weight + problem.penalty * squares / 2) / problem.sample_weight.sum()


def torch_value_and_gradients(problem: Any, activation: str, loss: str) -> Any:
    torch = importlib.import_module("torch")
    library = torch.nn.functional
    functions = SimpleNamespace(
        **{name: getattr(library, name) for name in SAME_NAME},
        identity=lambda z: z,
        logistic=torch.sigmoid,
        tanh=torch.tanh,
        gelu=functools.partial(library.gelu, approximate="tanh"),
        exp=torch.exp,
        log=torch.log,
        abs=torch.abs,
        maximum=torch.maximum,
        levels=torch.tensor(DEFAULT_QUANTILES, dtype=torch.float64),
        huber=functools.partial(library.huber_loss, reduction="none"),
        xlogy=torch.xlogy,
        log_sigmoid=library.logsigmoid,
        log_softmax=functools.partial(torch.log_softmax, dim=-1),
    )
    layers = [[array.clone().requires_grad_() for array in layer] for layer in problem.layers]
    value = write_objective(functions, problem, activation, loss, layers)
    value.backward()
    return value.detach(), [[array.grad for array in layer] for layer in layers]


def jax_value_and_gradients(problem: Any, activation: str, loss: str) -> Any:
    jax = importlib.import_module("jax")

    def huber(z: Any, y: Any) -> Any:
        distance = jax.numpy.abs(z - y)
        return jax.numpy.where(distance < 1, distance**2 / 2, distance - 0.5)

    functions = SimpleNamespace(
        **{name: getattr(jax.nn, name) for name in SAME_NAME},
        identity=lambda z: z,
        logistic=jax.nn.sigmoid,
        tanh=jax.nn.tanh,
        gelu=jax.nn.gelu,
        exp=jax.numpy.exp,
        log=jax.numpy.log,
        abs=jax.numpy.abs,
        maximum=jax.numpy.maximum,
        levels=jax.numpy.asarray(DEFAULT_QUANTILES),
        huber=huber,
        xlogy=jax.scipy.special.xlogy,
        log_sigmoid=jax.nn.log_sigmoid,
        log_softmax=jax.nn.log_softmax,
    )
    objective = functools.partial(write_objective, functions, problem, activation, loss)
    return jax.jit(jax.value_and_grad(objective))([list(layer) for layer in problem.layers])


SAME_NAME = ("relu", "leaky_relu", "elu", "selu", "softplus", "silu", "mish")
ENGINES = {"torch": torch_value_and_gradients, "jax": jax_value_and_gradients}


@pytest.mark.parametrize(("activation", "loss", "hidden", "weighted"), CASES)
@pytest.mark.parametrize("place", ENGINES, indirect=True)
def test_objective_and_gradients_are_those_of_autograd(
    place: Any, make_problem: Callable[..., Any], activation: str, loss: str, hidden: tuple[int, ...], weighted: bool
) -> None:
    problem = make_problem(activation, loss, layer_sizes=(5, *hidden, 3), weighted=weighted)
    value, derived = ENGINES[place.name](problem.to(place), activation, loss)
    objective, gradients = problem.objective_and_gradients()
    np.testing.assert_allclose(objective, place.to_numpy(value), rtol=1e-13)
    for layer, their_layer in zip(gradients, derived, strict=True):
        for gradient, theirs in zip(layer, their_layer, strict=True):
            np.testing.assert_allclose(gradient, place.to_numpy(theirs), rtol=0.0, atol=1e-13)
