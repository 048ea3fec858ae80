from typing import Any

import array_api_compat.numpy as xp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from scipy import special

from xpmlp.nn.losses import LOSSES

# The prediction of each loss, and its value for each sample, from SciPy.
PREDICTIONS = {
    "softmax_cross_entropy": lambda z: special.softmax(z, axis=-1),
    "logistic_cross_entropy": special.expit,
    "squared_error": lambda z: z,
    "poisson": np.exp,
}
VALUES = {
    "softmax_cross_entropy": lambda z, y: -np.sum(y * special.log_softmax(z, axis=-1), axis=-1),
    "logistic_cross_entropy": lambda z, y: -np.sum(y * special.log_expit(z) + (1 - y) * special.log_expit(-z), axis=-1),
    "squared_error": lambda z, y: np.sum((z - y) ** 2, axis=-1) / 2,
    "poisson": lambda z, y: np.sum(special.kl_div(y, np.exp(z)), axis=-1),
}
CROSS_ENTROPIES = ["softmax_cross_entropy", "logistic_cross_entropy"]


def draw_logits_and_targets(name: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    logits = rng.normal(0.0, 3.0, shape)
    targets = rng.uniform(0.0, 1.0, shape)
    if name == "poisson":
        targets[..., 0, 0] = 0.0  # a count of 0 is a count, too
    # The cross-entropies also take targets between yes and no, as label smoothing makes them.
    return logits, targets / np.sum(targets, axis=-1, keepdims=True) if name == "softmax_cross_entropy" else targets


def check(place: Any, name: str, dtype: str, tolerance: float, shape: tuple[int, ...] = (6, 3)) -> None:
    logits, targets = draw_logits_and_targets(name, shape)
    z, y = place.asarray(logits, dtype), place.asarray(targets, dtype)
    prediction = place.bind(LOSSES[name].predict)(z)
    values, gradient = place.bind(LOSSES[name].value_and_gradient)(z, y)
    assert prediction.dtype == values.dtype == gradient.dtype == getattr(place.xp, dtype)
    expected = PREDICTIONS[name](logits)
    np.testing.assert_allclose(place.to_numpy(prediction), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(place.to_numpy(values), VALUES[name](logits, targets), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(place.to_numpy(gradient), expected - targets, rtol=tolerance, atol=tolerance)


def test_prediction_value_and_gradient_are_the_textbooks(place: Any) -> None:
    for name in LOSSES:
        check(place, name, "float32", 2e-6)
        if place.name == "numpy":
            check(place, name, "float64", 1e-14, (2, 3, 4, 6))
            check(place, name, "float32", 2e-6, (5, 1))


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_the_slope_of_the_value(name: str) -> None:
    logits, targets = draw_logits_and_targets(name, (4, 3))
    _, gradient = LOSSES[name].value_and_gradient(xp, logits, targets)
    step = 1e-5
    for k in range(3):
        nudge = step * np.eye(3)[k]
        above, _ = LOSSES[name].value_and_gradient(xp, logits + nudge, targets)
        below, _ = LOSSES[name].value_and_gradient(xp, logits - nudge, targets)
        # A value is rounded in proportion to its size, which of poisson is that of the largest prediction.
        size = np.maximum(1.0, np.max(np.abs(PREDICTIONS[name](logits)), axis=-1))
        np.testing.assert_allclose(gradient[:, k] / size, (above - below) / (2 * step) / size, atol=1e-8)


EXTREME = np.array(
    [
        *([1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]),
        *([1e4, 1e4, 1e4], [80.0, -80.0, 0.0], [0.0, 1e4, -1e4]),
    ]
)
ONE_HOT = np.eye(3)[[0, 0, 1, 2, 1, 2]]


def test_extreme_logits_give_finite_and_right_numbers(place: Any) -> None:
    for name in CROSS_ENTROPIES:
        for dtype, tolerance in [("float32", 5e-7), ("float64", 1e-15)][: 2 if place.name == "numpy" else 1]:
            z, y = place.asarray(EXTREME, dtype), place.asarray(ONE_HOT, dtype)
            prediction = place.to_numpy(place.bind(LOSSES[name].predict)(z))
            values, gradient = map(place.to_numpy, place.bind(LOSSES[name].value_and_gradient)(z, y))
            expected = PREDICTIONS[name](EXTREME)
            # Below the smallest normal number of its dtype, a library may round to 0.
            tiny = float(np.finfo(dtype).tiny)
            np.testing.assert_allclose(values, VALUES[name](EXTREME, ONE_HOT), rtol=tolerance, atol=tiny)
            np.testing.assert_allclose(prediction, expected, rtol=100 * tolerance, atol=tiny)
            np.testing.assert_allclose(gradient, expected - ONE_HOT, rtol=100 * tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "largest"), [("float64", 700.0), ("float32", 85.0)])
def test_small_probabilities_and_losses_are_exact_to_their_last_digits(dtype: str, largest: float) -> None:
    loss, tolerance = LOSSES["logistic_cross_entropy"], 4 * float(np.finfo(dtype).eps)
    logits = np.linspace(0.0, largest, 50, dtype=dtype)[:, None]
    precise = logits.astype(np.longdouble)
    np.testing.assert_allclose(loss.predict(xp, -logits), special.expit(-precise), rtol=tolerance)
    values, _ = loss.value_and_gradient(xp, logits, np.ones((50, 1), dtype))
    np.testing.assert_allclose(values, np.log1p(np.exp(-precise[:, 0])), rtol=tolerance)


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.floats(-1e4, 1e4, width=32)
    )
)
def test_probabilities_sum_to_1_and_losses_are_never_negative_or_nan(logits: Any) -> None:
    probabilities = LOSSES["softmax_cross_entropy"].predict(xp, logits)
    assert np.all((probabilities >= 0.0) & (probabilities <= 1.0))
    np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1.0, rtol=1e-6)
    targets = np.eye(logits.shape[-1], dtype=np.float32)[np.argmin(logits, axis=-1)]
    for name in CROSS_ENTROPIES:
        values, gradient = LOSSES[name].value_and_gradient(xp, logits, targets)
        assert np.all(values >= 0.0)
        assert np.all(np.isfinite(values))
        assert np.all(np.abs(gradient) <= 1.0)
    _, gradient = LOSSES["softmax_cross_entropy"].value_and_gradient(xp, logits, targets)
    np.testing.assert_allclose(np.sum(gradient, axis=-1), 0.0, atol=1e-6)


def test_the_largest_output_or_every_yes_and_no_must_be_right(place: Any) -> None:
    of_classes = [
        [[2.0, 1.0, -3.0], [0.0, -1.0, -2.0], [-5.0, 4.0, 3.9]],
        [[0.0, 1.0, 2.0], [9.0, 1.0, 1.0], [0, 0, 1]],
    ]
    classes = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.5, 0.4]]
    of_labels, labels = [[3.0, -1.0], [3.0, 1.0], [-3.0, 0.1], [-0.1, -0.2]], [[1, 0], [1, 0], [0, 1], [0, 0]]
    for name, logits, targets, expected in (
        ("softmax_cross_entropy", of_classes, classes, [[True, False, True], [False, False, False]]),
        ("logistic_cross_entropy", of_labels, labels, [True, False, True, True]),
    ):
        is_correct = LOSSES[name].is_correct
        assert is_correct is not None
        result = place.bind(is_correct)(place.asarray(logits), place.asarray(targets))
        np.testing.assert_array_equal(place.to_numpy(result), expected)
    assert LOSSES["squared_error"].is_correct is None  # numbers are neither right nor wrong
