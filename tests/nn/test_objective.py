"""Gradients are the slopes of the objective: differences, and the derivatives of PyTorch and JAX."""

import functools
import importlib
import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.dropout import draw_dropout
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import DEFAULT_QUANTILES, LOSSES
from xpmlp.nn.network import forward
from xpmlp.nn.tree import tree_map

SEED = 1
KINKED = [ACTIVATIONS[name] for name in ("relu", "leaky_relu", "selu")]
# Every activation with every loss, in a deep network with weights and a penalty; then the depths, without these;
# functions of the output whose slope is one of a, or of z; and units that are left out.
CASES: list[tuple[str, str, tuple[int, ...], bool, Any]] = [
    *((activation, loss, (6, 5, 4), True, None) for activation in ACTIVATIONS for loss in LOSSES),
    ("mish,relu,tanh", "huber", (6, 5, 4), True, None),
    *(("tanh", loss, hidden, False, None) for loss in LOSSES for hidden in ((), (6,))),
    *(("tanh", f"huber:0.3 of {output}", (6,), True, None) for output in ("logistic", "silu")),
    *((activation, "softmax_cross_entropy", (6, 4), True, (0.4, 0.2)) for activation in ACTIVATIONS),
]


def nudged(layers: Layers, index: int, step: float) -> Layers:
    """A population: in each of its networks, one number of the array of that index is larger by `step`."""
    size = list(itertools.chain(*layers))[index].size
    nudges = iter(range(2 * len(layers)))

    def nudge(array: Any) -> Any:
        copies = np.broadcast_to(array, (size, *array.shape))
        return copies + step * np.eye(size).reshape(copies.shape) if next(nudges) == index else copies

    return tree_map(nudge, layers)


def numerical_gradients(problem: Any, dropout: Any, *, step: float = 1e-4) -> list[Any]:
    """The slope of the objective along every weight and bias, by the central difference of fourth order."""

    def objective(index: int, distance: float) -> Any:
        layers = nudged(problem.layers, index, distance)
        if problem.activation in KINKED:
            # A unit that crosses its kink on the way has no slope to measure.
            starts, heres = (
                forward(problem.xp, each, problem.x, problem.activation)[0][1:] for each in (problem.layers, layers)
            )
            if any(np.any((start > 0.0) != (here > 0.0)) for start, here in zip(starts, heres, strict=True)):
                pytest.fail("a unit crosses its kink: choose another SEED")
        return problem.objective_and_gradients(layers, dropout=dropout)[0]

    gradients = []
    for index, array in enumerate(itertools.chain(*problem.layers)):
        near = objective(index, step) - objective(index, -step)
        far = objective(index, 2 * step) - objective(index, -2 * step)
        gradients.append(((8 * near - far) / (12 * step)).reshape(array.shape))
    return gradients


@pytest.mark.parametrize(("activation", "loss", "hidden", "weighted", "rates"), CASES)
def test_gradients_are_the_slopes_of_the_objective(
    make_problem: Any, activation: str, loss: str, hidden: tuple[int, ...], weighted: bool, rates: Any
) -> None:
    problem = make_problem(activation, loss, layer_sizes=(5, *hidden, 3), weighted=weighted, seed=SEED)
    dropout = rates and draw_dropout(np, np.asarray(1), problem.targets[..., 0], problem.layers, rates)
    _, gradients = problem.objective_and_gradients(dropout=dropout)
    for ours, slope in zip(itertools.chain(*gradients), numerical_gradients(problem, dropout), strict=True):
        assert ours.shape == slope.shape
        assert np.max(np.abs(ours - slope)) < 1e-8 * np.max(np.abs(slope))


def test_a_weight_is_how_often_a_row_counts(make_problem: Any) -> None:
    plain = make_problem()
    check_equal(plain, replace(plain, sample_weight=np.ones(7)))
    weighted = replace(make_problem(weighted=True), sample_weight=np.array([1.0, 0.0, 2.0, 1.0, 2.0, 0.0, 1.0]))
    rows = [0, 2, 2, 3, 4, 4, 6]
    repeated = replace(weighted, x=weighted.x[rows], targets=weighted.targets[rows], sample_weight=None)
    check_equal(weighted, repeated)


def test_where_all_weights_are_0_only_the_penalty_is_left(make_problem: Any) -> None:
    problem = replace(make_problem(weighted=True), sample_weight=np.zeros(7))
    objective, gradients = problem.objective_and_gradients()
    squares = sum(np.sum(layer.weight**2) for layer in problem.layers)
    np.testing.assert_allclose(objective, 0.35 * squares, rtol=1e-14)
    for gradient, layer in zip(gradients, problem.layers, strict=True):
        np.testing.assert_allclose(gradient.weight, 0.7 * layer.weight, rtol=1e-14)
        assert np.all(gradient.bias == 0.0)


def test_the_penalty_is_half_the_squared_weights_over_the_rows(make_problem: Any) -> None:
    plain = make_problem()
    penalised = replace(plain, penalty=0.7)
    squares = sum(np.sum(layer.weight**2) for layer in plain.layers)
    objective, gradients = plain.objective_and_gradients()
    with_penalty, gradients_with_penalty = penalised.objective_and_gradients()
    np.testing.assert_allclose(with_penalty, objective + 0.35 * squares / 7, rtol=1e-14)
    for layer, ours, theirs in zip(plain.layers, gradients_with_penalty, gradients, strict=True):
        np.testing.assert_allclose(ours.weight, theirs.weight + 0.1 * layer.weight, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(ours.bias, theirs.bias)


def check_equal(problem: Any, other: Any) -> None:
    """Both problems have the same objective and gradients, to rounding."""
    objective, gradients = problem.objective_and_gradients()
    expected, expected_gradients = other.objective_and_gradients()
    np.testing.assert_allclose(objective, expected, rtol=1e-13)
    for ours, theirs in zip(itertools.chain(*gradients), itertools.chain(*expected_gradients), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


# Against automatic differentiation

DERIVED: list[tuple[str, str, tuple[int, ...], bool]] = [
    *((activation, loss, (6, 5, 4), True) for activation, loss in zip(ACTIVATIONS, itertools.cycle(LOSSES))),
    ("mish,relu,tanh", "squared_error", (6, 5, 4), True),
    *(("identity", loss, (), False) for loss in LOSSES),
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
        **{name: getattr(torch, name) for name in ("tanh", "exp", "log", "abs", "maximum", "xlogy")},
        identity=lambda z: z,
        logistic=torch.sigmoid,
        gelu=functools.partial(library.gelu, approximate="tanh"),
        levels=torch.tensor(DEFAULT_QUANTILES, dtype=torch.float64),
        huber=functools.partial(library.huber_loss, reduction="none"),
        log_sigmoid=library.logsigmoid,
        log_softmax=functools.partial(torch.log_softmax, dim=-1),
    )
    layers = [[array.clone().requires_grad_() for array in layer] for layer in problem.layers]
    value = write_objective(functions, problem, activation, loss, layers)
    value.backward()
    return value.detach(), [[array.grad for array in layer] for layer in layers]


def jax_value_and_gradients(problem: Any, activation: str, loss: str) -> Any:
    """Of our own objective."""
    jax = importlib.import_module("jax")
    return jax.jit(jax.value_and_grad(lambda layers: problem.objective_and_gradients(layers)[0]))(problem.layers)


SAME_NAME = ("relu", "leaky_relu", "elu", "selu", "softplus", "silu", "mish")
ENGINES = {"torch": torch_value_and_gradients, "jax": jax_value_and_gradients}


@pytest.mark.parametrize(("activation", "loss", "hidden", "weighted"), DERIVED)
@pytest.mark.parametrize("place", ENGINES, indirect=True)
def test_objective_and_gradients_are_those_of_autograd(
    place: Any, make_problem: Any, activation: str, loss: str, hidden: tuple[int, ...], weighted: bool
) -> None:
    problem = make_problem(activation, loss, layer_sizes=(5, *hidden, 3), weighted=weighted)
    value, derived = ENGINES[place.name](problem.to(place), activation, loss)
    objective, gradients = problem.objective_and_gradients()
    np.testing.assert_allclose(objective, place.to_numpy(value), rtol=1e-13)
    for layer, their_layer in zip(gradients, derived, strict=True):
        for gradient, theirs in zip(layer, their_layer, strict=True):
            np.testing.assert_allclose(gradient, place.to_numpy(theirs), rtol=0.0, atol=1e-13)
