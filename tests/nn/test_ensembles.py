"""The average of an ensemble's predictions and its loss, against SciPy and NumPy by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax, xlogy

from xpmlp.nn.ensembles import average
from xpmlp.nn.loss_names import find_loss

MEMBERS, ROWS = 3, 5


def draw_logits(outputs: int, scale: float = 2.0) -> Any:
    return np.random.default_rng(0).normal(0.0, scale, (MEMBERS, ROWS, outputs))


@pytest.mark.parametrize(
    ("name", "function", "targets"),
    [
        ("softmax_cross_entropy", softmax, np.eye(4)[[0, 3, 1, 2, 2]]),
        (
            "logistic_cross_entropy",
            lambda z, axis: expit(z),
            [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        ),
    ],
)
def test_probabilities_are_averaged_and_so_is_the_loss(place: Any, name: str, function: Any, targets: Any) -> None:
    targets = np.asarray(targets)
    logits = draw_logits(targets.shape[-1])
    p = function(logits, axis=-1).mean(axis=0)
    loss, z, y = average(find_loss(name)), place.asarray(logits), place.asarray(targets)
    assert_allclose(place.to_numpy(loss.predict(place.xp, z)), p, atol=1e-12)
    values, gradient = loss.value_and_gradient(place.xp, z, y)
    of_no = xlogy(1 - targets, 1 - p) if name.startswith("logistic") else 0.0
    assert_allclose(place.to_numpy(values), -(xlogy(targets, p) + of_no).sum(axis=-1), atol=1e-12)
    assert gradient is None
    assert loss.is_correct is not None
    right = (p > 0.5) == (targets > 0.5) if name.startswith("logistic") else (p == p.max(-1, keepdims=True)) == targets
    assert_array_equal(place.to_numpy(loss.is_correct(place.xp, z, y)), right.all(axis=-1))


def test_members_that_are_sure_and_wrong_cost_what_the_others_leave() -> None:
    logits, no = np.array([200.0, -200.0, 300.0], np.float32)[:, None, None], np.array([[0.0]], np.float32)
    yes_and_no, classes = find_loss("logistic_cross_entropy"), find_loss("softmax_cross_entropy")
    of_classes = np.concatenate([logits, np.zeros_like(logits)], axis=-1)
    for loss, outputs, targets in ((yes_and_no, logits, no), (classes, of_classes, np.array([[0.0, 1.0]]))):
        assert_allclose(average(loss).value_and_gradient(np, outputs, targets)[0], -np.log(1 / 3), rtol=1e-6)
    alone, _ = yes_and_no.value_and_gradient(np, logits[0], no)
    assert_array_equal(average(yes_and_no).value_and_gradient(np, logits[:1], no)[0], alone)


@pytest.mark.parametrize(
    ("name", "predict"),
    [
        ("squared_error", lambda z: z),
        ("absolute_error", lambda z: z),
        ("poisson", np.exp),
        ("gamma", np.exp),
        ("squared_error of logistic", expit),
        ("huber:0.5 of tanh", np.tanh),
        ("quantile:0.1,0.5,0.9", lambda z: np.sort(z, axis=-1)),
    ],
)
def test_numbers_are_averaged_after_the_output_function(name: str, predict: Any) -> None:
    logits = draw_logits(3 if "quantile" in name else 1, 0.7)
    y = np.random.default_rng(1).uniform(0.1, 2.0, (ROWS, 1))
    mean = predict(logits).mean(axis=0)
    loss = average(find_loss(name))
    assert_allclose(loss.predict(np, logits), mean, atol=1e-12)
    # One network that predicts the mean itself has the same loss.
    plain = find_loss(name.partition(" of ")[0])
    alone = np.log(mean) if name in ("poisson", "gamma") else mean
    expected = plain.value_and_gradient(np, alone, y)[0]
    assert_allclose(loss.value_and_gradient(np, logits, y)[0], expected, atol=1e-12)
