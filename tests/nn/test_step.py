import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xpmlp.nn.optimizers import Optimizer, adam, adamw, clip_gradients, sgd
from xpmlp.nn.step import TrainingState, make_step
from xpmlp.nn.tree import tree_map

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": sgd(),
    "momentum": sgd(momentum=0.9),
    "nesterov": sgd(momentum=0.9, nesterov=True),
    "adam": adam(),
    "adamw, clipped": clip_gradients(adamw(weight_decay=0.1), 0.5),
}
STEPS = 4


def take_steps(problem: Any, optimizer: Optimizer, learning_rate: Any, penalty: Any, place: Any = None) -> Any:
    """The weights and the objective of each step, all on the same batch."""
    step = make_step(activation=problem.activation, loss=problem.loss, optimizer=optimizer, penalty=penalty)
    state = TrainingState(problem.layers, optimizer.init(problem.xp, problem.layers))
    bound = place.bind(step) if place else functools.partial(step, problem.xp)
    objectives = []
    for _ in range(STEPS):
        state, objective = bound(state, problem.x, problem.targets, problem.sample_weight, learning_rate)
        objectives.append(objective)
    return state.layers, objectives


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_the_objectives_gradients_given_to_the_optimizer(make_problem: Any, name: str) -> None:
    problem, optimizer = make_problem(weighted=True), OPTIMIZERS[name]
    layers, state, expected = problem.layers, optimizer.init(np, problem.layers), []
    for _ in range(STEPS):
        objective, gradients = problem.objective_and_gradients(layers)
        layers, state = optimizer.update(np, gradients, state, layers, 0.1)
        expected.append(objective)
    ours, objectives = take_steps(problem, optimizer, 0.1, problem.penalty)
    np.testing.assert_array_equal(objectives, expected)
    tree_map(np.testing.assert_array_equal, ours, layers)
    assert objectives[-1] < objectives[0]


@pytest.mark.parametrize(("models", "data_models"), [((3,), ()), ((2, 3), (3,))], ids=["shared data", "own data"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_population_learns_what_its_models_learn_alone(
    make_problem: Any, name: str, models: tuple[int, ...], data_models: tuple[int, ...]
) -> None:
    weighted = bool(data_models)
    problem = make_problem("relu", models=models, data_models=data_models, weighted=weighted)
    if weighted:
        problem.sample_weight[1] = 0.0  # only the penalty is left
    shape, count = (*models, 1, 1), int(np.prod(models))
    rates, penalties = np.geomspace(0.5, 0.005, count).reshape(shape), np.linspace(0.0, 3.0, count).reshape(shape)
    together, objectives = take_steps(problem, OPTIMIZERS[name], rates, penalties)
    for model in np.ndindex(models):
        data = model[-1:] if data_models else ()
        alone = replace(
            problem,
            layers=tree_map(lambda array, model=model: array[model], problem.layers),
            x=problem.x[data],
            targets=problem.targets[data],
            sample_weight=problem.sample_weight[data] if weighted else None,
        )
        layers, expected = take_steps(alone, OPTIMIZERS[name], float(rates[model].item()), penalties[model].item())
        np.testing.assert_allclose([each[model] for each in objectives], expected, rtol=1e-12)
        own = tree_map(lambda array, model=model: array[model], together)
        tree_map(functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-14), own, layers)


# What one library may do differently: promote dtypes, broadcast models, divide by a weight of 0, leave its device.
@pytest.mark.parametrize(
    ("name", "loss", "dtype", "tolerance"),
    [("nesterov", "softmax_cross_entropy", "float64", 1e-12), ("adam", "poisson", "float32", 2e-4)],
)
def test_every_library_learns_what_numpy_does(
    place: Any, make_problem: Any, name: str, loss: str, dtype: str, tolerance: float
) -> None:
    problem = make_problem("logistic", loss, models=(3,), data_models=(3,), weighted=True)
    problem.sample_weight[1] = 0.0
    rates, penalties = np.array([0.1, 0.3, 0.01]).reshape(3, 1, 1), np.array([0.0, 0.5, 2.0]).reshape(3, 1, 1)
    expected_layers, expected = take_steps(problem, OPTIMIZERS[name], rates, penalties)
    moved_rates, moved_penalties = place.asarray(rates, dtype), place.asarray(penalties, dtype)
    layers, objectives = take_steps(problem.to(place, dtype), OPTIMIZERS[name], moved_rates, moved_penalties, place)
    np.testing.assert_allclose([place.to_numpy(each) for each in objectives], expected, rtol=tolerance)

    def check(ours: Any, theirs: Any) -> None:
        assert ours.dtype == getattr(place.xp, dtype)
        np.testing.assert_allclose(place.to_numpy(ours), theirs, rtol=tolerance, atol=tolerance)

    tree_map(check, layers, expected_layers)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_processes_with_a_part_of_a_batch_each_take_its_step(make_problem: Any, dropout: float) -> None:
    problem = make_problem(rows=8, weighted=True)
    settings = {"activation": problem.activation, "loss": problem.loss, "penalty": 0.3, "dropout": dropout}
    both_came = threading.Barrier(2)
    parts: dict[int, Any] = {}

    def step_on(start: int, stop: int, **part: Any) -> tuple[TrainingState, Any]:
        step = make_step(optimizer=sgd(), **settings, **part)
        state = TrainingState(problem.layers, (), np.asarray(5) if dropout else ())
        x, targets, weight = (a[start:stop] for a in (problem.x, problem.targets, problem.sample_weight))
        return step(np, state, x, targets, weight, 0.1)

    def step_on_part(start: int, stop: int) -> tuple[TrainingState, Any]:
        def combine(tree: Any) -> Any:
            parts[start] = tree
            both_came.wait(timeout=10)
            total = tree_map(np.add, parts[0], parts[3])
            both_came.wait(timeout=10)
            return total

        return step_on(start, stop, combine=combine, first_row=start)

    with ThreadPoolExecutor(2) as processes:
        first, second = processes.map(step_on_part, (0, 3), (3, 8))
    whole = step_on(0, 8)
    for part in (first, second):
        tree_map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-12), part, whole)
