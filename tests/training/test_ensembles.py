"""Ensembles: members are trained like the same networks alone, and their predictions are averaged."""

import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax

from xpmlp.backends import NumpyBackend
from xpmlp.backends.numpy import members
from xpmlp.datasets import Split, load_dataset
from xpmlp.errors import SettingsError
from xpmlp.model import Model
from xpmlp.nn.ensembles import stack_networks
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES, smooth_targets
from xpmlp.nn.optimizers import adam, adamw, clip_gradients, sgd
from xpmlp.nn.samples import Samples
from xpmlp.nn.tree import tree_map
from xpmlp.training import FitResult, Recipe, constant, evaluate, predict, train
from xpmlp.training.prediction import ROWS_AT_A_TIME, evidence

MEMBERS = 3


def draw_ensemble(outputs: int, loss: str, **fields: Any) -> Model:
    networks = [
        init_layers(np, np.random.default_rng(seed), (4, 5, outputs), glorot_uniform(draw_bias=True), dtype=np.float64)
        for seed in range(MEMBERS)
    ]
    layers = tuple(Layer(*map(np.stack, zip(*group, strict=True))) for group in zip(*networks, strict=True))
    return Model(layers, "tanh", loss, fields.pop("classes", ()), (4,), 1.0, **fields)


def sums_of(model: Model, x: Any) -> Any:
    """The last layer's sums of each member, one after the other."""
    first, last = model.layers
    return np.stack(
        [np.tanh(x @ first.weight[i] + first.bias[i]) @ last.weight[i] + last.bias[i] for i in range(MEMBERS)]
    )


def draw_rows(seed: int, rows: int) -> Any:
    """Numbers that float32 holds exactly, in float64."""
    return np.random.default_rng(seed).normal(0.0, 2.0, (rows, 4)).astype(np.float32).astype(np.float64)


X = draw_rows(9, 40)


def test_probabilities_are_the_members_mean_and_so_are_all_scores() -> None:
    model = draw_ensemble(3, "softmax_cross_entropy", classes=("a", "b", "c"))
    p = softmax(sums_of(model, X), axis=-1).mean(axis=0)
    prediction = predict(model, X, prepared=True)
    assert_allclose(prediction.probabilities, p, atol=1e-12)
    assert prediction.labels.tolist() == np.array(list("abc"))[p.argmax(axis=1)].tolist()
    assert prediction.spread is None
    assert evidence(model, X[:0], NumpyBackend()).shape == (0,)
    truth = np.random.default_rng(0).integers(0, 3, len(X))
    report: Any = evaluate(model, Split(X.astype(np.float32), np.array(list("abc"))[truth]), prepared=True)
    assert report.loss == pytest.approx(-np.log(p[np.arange(len(X)), truth]).mean(), abs=1e-12)
    assert report.accuracy == np.mean(p.argmax(axis=1) == truth)
    assert_allclose(
        evidence(model, X, NumpyBackend()), np.log(np.exp(sums_of(model, X)).sum(axis=-1)).mean(axis=0), atol=1e-12
    )


def test_two_classes_and_many_rows_are_averaged_alike() -> None:
    model = draw_ensemble(1, "logistic_cross_entropy", classes=("no", "yes"))
    x = draw_rows(8, ROWS_AT_A_TIME + 1)
    p = expit(sums_of(model, x)).mean(axis=0)
    assert_allclose(predict(model, x, prepared=True).probabilities, np.concatenate([1 - p, p], axis=1), atol=1e-12)
    truth = np.random.default_rng(0).integers(0, 2, len(x))
    report: Any = evaluate(model, Split(x.astype(np.float32), np.array(["no", "yes"])[truth]), prepared=True)
    assert report.loss == pytest.approx(-np.log(np.where(truth == 1, p[:, 0], 1 - p[:, 0])).mean(), abs=1e-12)
    above = p[truth == 1] > p[truth == 0].T
    assert report.roc_auc == pytest.approx(above.mean(), abs=1e-12)


@pytest.mark.parametrize(("loss", "function", "outputs"), [("squared_error", lambda z: z, 2), ("poisson", np.exp, 1)])
def test_numbers_have_the_members_mean_and_spread(loss: str, function: Any, outputs: int) -> None:
    model = draw_ensemble(outputs, loss, output_names=("price", "size")[:outputs])
    of_members = function(sums_of(model, X)).reshape((MEMBERS, 40, 2)[: outputs + 1])
    prediction: Any = predict(model, X, prepared=True)
    assert_allclose(prediction.labels, of_members.mean(axis=0), atol=1e-12)
    assert_allclose(prediction.spread, of_members.std(axis=0), atol=1e-12)
    empty: Any = predict(model, X[:0], prepared=True)
    assert empty.labels.shape == empty.spread.shape == (0, *of_members.shape[2:])
    if outputs == 1:
        report: Any = evaluate(model, Split(X.astype(np.float32), np.abs(X[:, 0])), prepared=True)
        assert report.mae == pytest.approx(np.abs(of_members.mean(axis=0) - np.abs(X[:, 0])).mean(), abs=1e-12)


# Training


def networks_of(*seeds: int) -> list[Layers]:
    return [
        init_layers(np, np.random.default_rng(seed), (4, 5, 3), glorot_uniform(), dtype=np.float64) for seed in seeds
    ]


def assert_same_mean(together: FitResult, alone: list[FitResult]) -> None:
    """The objective of an ensemble is the mean of its members'."""
    mean, *objectives = ([row.objective or 0.0 for row in result.history] for result in (together, *alone))
    assert_allclose(mean, np.mean(objectives, axis=0), atol=1e-9)


@pytest.mark.parametrize("backend", ["numpy", "torch", pytest.param("jax", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": sgd()},
        {"optimizer": clip_gradients(adamw(weight_decay=0.1), 0.2), "schedule": constant(0.01), "dropout": 0.3},
        {"optimizer": adam(), "l2": 0.5, "dropout": (0.5,), "loss": LOSSES["logistic_cross_entropy"]},
    ],
)
def test_each_member_is_trained_like_the_same_network_alone(
    small_fit: Any, samples: Samples, validation: Samples, backend: str, settings: Any
) -> None:
    pytest.importorskip(backend)
    networks, keys = networks_of(3, 1, 2), np.array([5, 17, 6])
    smooth = samples._replace(targets=smooth_targets(samples.targets, 0.2, 3))

    def run(layers: Any, key: Any) -> FitResult:
        changes = {"epochs": 12, "generator": np.random.default_rng(7), "validation": validation, "backend": backend}
        result: FitResult = small_fit(smooth, layers=layers, dropout_key=key, loss_rows=0, **(changes | settings))
        return result

    together = run(stack_networks(np, networks), keys)
    alone = [run(layers, int(key)) for layers, key in zip(networks, keys, strict=True)]
    for index, result in enumerate(alone):
        own = tree_map(lambda array, index=index: array[index], together.layers)
        tree_map(partial(assert_allclose, atol=1e-9), own, tree_map(np.atleast_2d, result.layers))
    assert_same_mean(together, alone)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("bytes_that_fit", "parts"), [(1, 4), (13_000, 2)])
def test_members_that_exceed_the_cache_are_trained_in_parts(
    small_fit: Any, monkeypatch: pytest.MonkeyPatch, threads: int, bytes_that_fit: int, parts: int
) -> None:
    networks, keys = networks_of(0, 1, 2, 3), np.array([5, 17, 6, 2])

    def run(layers: Any, key: Any) -> Any:
        optimizer = clip_gradients(adamw(weight_decay=0.1), 0.2)
        changes: dict[str, Any] = {"epochs": 12, "generator": np.random.default_rng(7), "optimizer": optimizer}
        return small_fit(layers=layers, dropout=0.3, dropout_key=key, threads=threads, **changes)

    alone = [run(layers, int(key)) for layers, key in zip(networks, keys, strict=True)]
    monkeypatch.setattr(members, "CACHE_BYTES", bytes_that_fit)
    trained, epochs = [], NumpyBackend.run_epoch

    def run_epoch(backend: Any, step: Any, state: Any, *arguments: Any) -> Any:
        trained.append((state.layers[0].weight.shape, threading.current_thread().name))
        return epochs(backend, step, state, *arguments)

    monkeypatch.setattr(NumpyBackend, "run_epoch", run_epoch)
    together = run(stack_networks(np, networks), keys)
    shape = (4, 5) if parts == 4 else (2, 4, 5)
    assert [found for found, _ in trained] == [shape] * 12 * parts
    assert len({name for _, name in trained}) <= threads
    assert not [thread for thread in threading.enumerate() if thread.name in {name for _, name in trained}]
    for index, result in enumerate(alone):
        own = tree_map(lambda array, index=index: array[index], together.state.layers)
        tree_map(assert_array_equal, own, tree_map(np.atleast_2d, result.state.layers))
    assert_array_equal(together.state.dropout, [result.state.dropout for result in alone])
    assert_array_equal(together.state.optimizer.step, alone[0].state.optimizer.step)
    assert_same_mean(together, alone)


def test_an_ensemble_is_trained_and_the_epoch_chosen_by_its_average() -> None:
    settings: dict[str, Any] = {"recipe": Recipe(hidden_layer_sizes=(9,), dropout=0.2, optimizer="adamw", seed=5)}
    settings |= {"dtype": "float64", "label_smoothing": 0.1, "class_weight": "balanced", "epochs": 9, "verbose": False}
    model, result = train("iris", ensemble=3, validation_fraction=0.2, **settings)
    assert model.members == 3
    first, last = model.layers
    assert (first.weight.shape, last.bias.shape) == ((3, 4, 9), (3, 1, 3))
    losses = [row.validation_loss or 0.0 for row in result.history]
    assert result.kept_epoch == 1 + int(np.argmin(losses))
    held_out = load_dataset("iris").with_validation(0.2).validation
    report: Any = evaluate(model, held_out, prepared=True)
    assert report.accuracy == result.history[result.kept_epoch - 1].validation_accuracy
    # The first member is the network that the seed trains alone.
    several, _ = train("iris", ensemble=2, **settings)
    alone, _ = train("iris", **settings)
    for layer, expected in zip(several.layers, alone.layers, strict=True):
        assert_allclose(layer.weight[0], expected.weight, atol=1e-9)
        assert np.abs(layer.weight[1] - expected.weight).max() > 0.01


def test_numbers_are_trained_in_their_own_unit() -> None:
    model, _ = train("diabetes", ensemble=3, epochs=20, verbose=False)
    assert evaluate(model, "diabetes").r2 > 0.2  # type: ignore[union-attr]
    spread = predict(model, load_dataset("diabetes").test).spread
    assert spread is not None
    assert 0.0 < spread.min() < spread.max() < 100.0


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        (0, "ensemble: 0 is not a whole number of at least 1"),
        (10**9, "ensemble: training 1,000,000,000 networks takes about .* but .* are free: [0-9,]+ fit"),
    ],
)
def test_too_few_or_too_many_networks_are_refused_before_they_are_drawn(ensemble: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        train("iris", ensemble=ensemble, verbose=False)
    assert train("iris", ensemble=1, epochs=1, verbose=False)[0].members is None
