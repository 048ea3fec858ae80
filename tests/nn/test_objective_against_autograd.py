"""The objective and its gradients are those that PyTorch and JAX derive of the network written in their own terms."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES

CASES: list[tuple[str, str, tuple[int, ...], bool]] = [
    *((activation, loss, (6, 5, 4), True) for activation, loss in zip(ACTIVATIONS, LOSSES, strict=True)),
    *(("identity", loss, (), False) for loss in LOSSES),
]


def torch_objective(layers: Any, problem: Any, activation: str, loss: str) -> Any:
    """The objective in PyTorch's own functions."""
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    hidden = {"identity": torch.nn.Identity(), "logistic": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
    a = problem.x
    for weight, bias in layers[:-1]:
        a = hidden[activation](functional.linear(a, weight.T, bias[0]))
    logits = functional.linear(a, layers[-1][0].T, layers[-1][1][0])
    if loss == "softmax_cross_entropy":
        losses = functional.cross_entropy(logits, problem.targets, reduction="none")
    elif loss == "logistic_cross_entropy":
        losses = functional.binary_cross_entropy_with_logits(logits, problem.targets, reduction="none").sum(dim=1)
    elif loss == "poisson":
        y = problem.targets
        losses = functional.poisson_nll_loss(logits, y, reduction="none").sum(dim=1)
        losses = losses + (torch.special.xlogy(y, y) - y).sum(dim=1)
    else:
        losses = functional.mse_loss(logits, problem.targets, reduction="none").sum(dim=1) / 2
    if problem.sample_weight is None:
        return losses.mean()
    squares = sum((weight**2).sum() for weight, _ in layers)
    total = problem.sample_weight.sum()
    return torch.dot(losses, problem.sample_weight) / total + problem.penalty * squares / (2 * total)


def jax_objective(layers: Any, problem: Any, activation: str, loss: str) -> Any:
    """The objective in JAX's own functions."""
    jax = importlib.import_module("jax")
    hidden = {"identity": lambda z: z, "logistic": jax.nn.sigmoid, "tanh": jax.nn.tanh, "relu": jax.nn.relu}
    a = problem.x
    for weight, bias in layers[:-1]:
        a = hidden[activation](a @ weight + bias)
    logits = a @ layers[-1][0] + layers[-1][1]
    y = problem.targets
    if loss == "softmax_cross_entropy":
        losses = -(y * jax.nn.log_softmax(logits)).sum(axis=1)
    elif loss == "logistic_cross_entropy":
        losses = -(y * jax.nn.log_sigmoid(logits) + (1 - y) * jax.nn.log_sigmoid(-logits)).sum(axis=1)
    elif loss == "poisson":
        losses = jax.scipy.special.kl_div(y, jax.numpy.exp(logits)).sum(axis=1)
    else:
        losses = ((logits - y) ** 2).sum(axis=1) / 2
    if problem.sample_weight is None:
        return losses.mean()
    squares = sum((weight**2).sum() for weight, _ in layers)
    total = problem.sample_weight.sum()
    return losses @ problem.sample_weight / total + problem.penalty * squares / (2 * total)


def torch_value_and_gradients(problem: Any, activation: str, loss: str) -> Any:
    layers = [[array.clone().requires_grad_() for array in layer] for layer in problem.layers]
    value = torch_objective(layers, problem, activation, loss)
    value.backward()
    return value.detach(), [[array.grad for array in layer] for layer in layers]


def jax_value_and_gradients(problem: Any, activation: str, loss: str) -> Any:
    jax = importlib.import_module("jax")
    layers = [list(layer) for layer in problem.layers]
    differentiate = jax.jit(jax.value_and_grad(lambda layers: jax_objective(layers, problem, activation, loss)))
    return differentiate(layers)


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
