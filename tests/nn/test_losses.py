from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from scipy import special

from xpmlp.nn.loss_names import LossName, find_loss
from xpmlp.nn.losses import DEFAULT_QUANTILES, LOSSES, quantile, smooth_targets
from xpmlp.nn.own import own_loss

LEVELS = np.array(DEFAULT_QUANTILES)

# The prediction of each loss, and its value for each sample, from SciPy.
PREDICTIONS = {
    "softmax_cross_entropy": lambda z: special.softmax(z, axis=-1),
    "logistic_cross_entropy": special.expit,
    "squared_error": lambda z: z,
    "poisson": np.exp,
    "gamma": np.exp,
    "absolute_error": lambda z: z,
    "huber": lambda z: z,
    "quantile": lambda z: np.sort(z, axis=-1),
}
VALUES: dict[str, Any] = {
    "softmax_cross_entropy": lambda z, y: -np.sum(y * special.log_softmax(z, axis=-1), axis=-1),
    "logistic_cross_entropy": lambda z, y: -np.sum(y * special.log_expit(z) + (1 - y) * special.log_expit(-z), axis=-1),
    "squared_error": lambda z, y: np.sum((z - y) ** 2, axis=-1) / 2,
    "poisson": lambda z, y: np.sum(special.kl_div(y, np.exp(z)), axis=-1),
    "gamma": lambda z, y: np.sum(y / np.exp(z) - np.log(y / np.exp(z)) - 1.0, axis=-1),
    "absolute_error": lambda z, y: np.sum(np.abs(z - y), axis=-1),
    "huber": lambda z, y: np.sum(special.huber(1.0, z - y), axis=-1),
    "quantile": lambda z, y: np.sum(np.where(y > z, LEVELS * (y - z), (1.0 - LEVELS) * (z - y)), axis=-1),
}
GRADIENTS: dict[str, Any] = {
    "gamma": lambda z, y: 1.0 - y / np.exp(z),
    "absolute_error": lambda z, y: np.sign(z - y),
    "huber": lambda z, y: np.clip(z - y, -1.0, 1.0),
    "quantile": lambda z, y: np.where(z > y, 1.0 - LEVELS, -LEVELS),
}  # of the others it is prediction minus target
CROSS_ENTROPIES = ["softmax_cross_entropy", "logistic_cross_entropy"]


def draw_logits_and_targets(name: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    logits = rng.normal(0.0, 3.0, shape)
    targets = rng.uniform(0.0, 1.0, shape)
    if name == "poisson":
        targets[..., 0, 0] = 0.0  # a count of 0 is a count, too
    if name == "quantile":
        targets = targets[..., :1]  # three outputs, one for each quantile of one target
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
    slope = GRADIENTS[name](logits, targets) if name in GRADIENTS else expected - targets
    np.testing.assert_allclose(place.to_numpy(gradient), slope, rtol=tolerance, atol=tolerance)


def test_prediction_value_and_gradient_are_the_textbooks(place: Any) -> None:
    for name in LOSSES:
        check(place, name, "float32", 2e-6)
        if place.name == "numpy" and name != "quantile":
            check(place, name, "float64", 1e-14, (2, 3, 4, 6))
            check(place, name, "float32", 2e-6, (5, 1))


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


def test_the_quantiles_of_several_targets_lie_side_by_side_and_predictions_never_cross(place: Any) -> None:
    loss, one = quantile(0.2, 0.6), quantile(0.2, 0.6)
    rng = np.random.default_rng(1)
    z, y = rng.normal(0.0, 1.0, (7, 4)), rng.normal(0.0, 1.0, (7, 2))
    values, gradient = map(place.to_numpy, place.bind(loss.value_and_gradient)(place.asarray(z), place.asarray(y)))
    for target in range(2):
        part = z[:, 2 * target : 2 * target + 2]
        of_one, expected = one.value_and_gradient(xp, part, y[:, target : target + 1])
        np.testing.assert_allclose(gradient[:, 2 * target : 2 * target + 2], expected, rtol=1e-12)
        values = values - of_one
    np.testing.assert_allclose(values, 0.0, atol=1e-12)
    predictions = place.to_numpy(place.bind(loss.predict)(place.asarray(z))).reshape(7, 2, 2)
    np.testing.assert_array_equal(predictions, np.sort(z.reshape(7, 2, 2), axis=-1))


def test_a_losss_name_holds_its_numbers_and_output() -> None:
    for text in (*LOSSES, "huber:1.35", "quantile:0.1,0.9", "squared_error of logistic", "quantile:0.25 of softplus"):
        assert str(LossName.parse(text)) == text
        assert find_loss(text) is find_loss(text)
    assert LossName.parse("quantile").levels == DEFAULT_QUANTILES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cubic", "'cubic' is not one of softmax_cross_entropy"),
        ("quantile:0.5,1.5", "the quantile 1.5 is not between 0 and 1"),
        ("quantile:0.9,0.1", "not in ascending order"),
        ("huber:-1", "delta is -1.0"),
        ("huber:nan", "delta is nan"),
        ("huber:1,2", "does not take the numbers"),
        ("poisson:1", "does not take the numbers"),
        ("huber:big", "'big' are not numbers"),
        ("gamma of tanh", "has an output function of its own"),
        ("huber of sin", "the output 'sin' is not one of identity"),
    ],
)
def test_a_name_that_is_no_loss_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_loss(text)


def test_a_loss_of_ones_own_is_taken_and_a_wrong_shape_is_named(place: Any) -> None:
    z, y = place.asarray([[1.0, 2.0], [3.0, 5.0]]), place.asarray([[0.0, 0.0], [1.0, 1.0]])
    like = LOSSES["squared_error"]
    values, gradient = own_loss(like.value_and_gradient, like).value_and_gradient(place.xp, z, y)
    np.testing.assert_allclose(place.to_numpy(values), [2.5, 10.0])
    np.testing.assert_allclose(place.to_numpy(gradient), [[1.0, 2.0], [2.0, 4.0]])

    def mean_loss(xp: Any, logits: Any, targets: Any) -> Any:
        return xp.mean((logits - targets) ** 2.0), logits - targets

    def one_array(xp: Any, logits: Any, targets: Any) -> Any:
        return logits - targets

    with pytest.raises(ValueError, match=r"mean_loss returned as losses an array of shape \(\), expected .*\(2,\)"):
        own_loss(mean_loss, like).value_and_gradient(place.xp, z, y)
    with pytest.raises(ValueError, match="loss one_array did not return two arrays"):
        own_loss(one_array, like).value_and_gradient(place.xp, z, y)


def test_smoothed_targets_are_still_distributions() -> None:
    smoothed = smooth_targets(ONE_HOT, 0.3, 3)
    np.testing.assert_allclose(smoothed.sum(axis=-1), 1.0)
    np.testing.assert_allclose(smoothed[0], [0.8, 0.1, 0.1])
    np.testing.assert_allclose(smooth_targets(np.array([[0.0], [1.0]]), 0.1, 2), [[0.05], [0.95]])
