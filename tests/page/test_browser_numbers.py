"""The page's arithmetic in a real browser, compared with the package's own."""

import base64
import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpmlp
from xpmlp import Model
from xpmlp.model import ImagePreprocessor
from xpmlp.nn.activations import ACTIVATIONS, find_activation
from xpmlp.nn.layers import Layer
from xpmlp.nn.loss_names import LossName, find_loss
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.objective import objective_and_gradients
from xpmlp.nn.tree import tree_map
from xpmlp.page import PageContent

pytestmark = pytest.mark.slow

WritePage = Callable[..., Path]
PREDICT = """
const values = new Float32Array(Uint8Array.from(atob(arguments[0]), (each) => each.charCodeAt(0)).buffer);
const size = page.network.layers[0].inputs;
return Array.from({ length: values.length / size }, (_, i) =>
  Array.from(predict(page.network, values.subarray(i * size, (i + 1) * size))));
"""


def network(
    *,
    hidden: tuple[int, ...] = (24,),
    activation: str = "relu",
    loss: str = "softmax_cross_entropy",
    classes: tuple[int | str, ...] = tuple(range(10)),
    outputs: int = 10,
    image: bool = True,
) -> Model:
    """Return a network of random weights for images of 28 × 28 pixels, or for rows of six numbers."""
    rng = np.random.default_rng(1)
    shape = (28, 28) if image else (6,)
    layers = tuple(
        Layer(
            (rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in) * 2).astype(np.float32),
            rng.standard_normal((1, fan_out)).astype(np.float32),
        )
        for fan_in, fan_out in itertools.pairwise((int(np.prod(shape)), *hidden, outputs))
    )
    form = ImagePreprocessor(28, 28, "dark", 20 / 28, "mass") if image else None
    names = () if classes else tuple(f"y{index}" for index in range(outputs))
    return Model(layers, activation, loss, classes, shape, 255.0 if image else 1.0, form, output_names=names)


def in_page(browser: Any, x: np.ndarray) -> np.ndarray:
    """Return the page's predictions for inputs."""
    return np.array(browser.run(PREDICT, base64.b64encode(x.astype("<f4").tobytes()).decode()))


def predicted(model: Model, x: np.ndarray) -> np.ndarray:
    """Return what `predict` says: probabilities, or numbers."""
    prediction = xpmlp.predict(model, x, prepared=True)
    return prediction.probabilities if model.classes else prediction.labels.reshape(len(x), -1)


def test_mnists_test_images_have_the_same_probabilities_and_labels(
    browser: Any, mnist: Any, mnist_model: Any, write_page: WritePage
) -> None:
    x = mnist.test.x[:1000]
    browser.open(write_page(mnist_model))
    found, expected = in_page(browser, x), predicted(mnist_model, x)
    assert np.abs(found - expected).max() <= 1e-5
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_the_default_mnist_models_page_can_be_sent_by_mail(mnist: Any, mnist_model: Any, write_page: WritePage) -> None:
    content = PageContent("mnist", examples=mnist.test.x[:48], labels=mnist.test.labels[:48].tolist())
    assert write_page(mnist_model, content).stat().st_size <= 1_200_000
    assert write_page(mnist_model, content, small=True).stat().st_size <= 700_000


def test_small_weights_give_nearly_the_same(browser: Any, mnist: Any, mnist_model: Any, write_page: WritePage) -> None:
    x = mnist.test.x[:1000]
    browser.open(write_page(mnist_model, small=True))
    found, expected = in_page(browser, x), predicted(mnist_model, x)
    assert np.abs(found - expected).max() <= 0.01
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) >= 0.999


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_the_same_probabilities(browser: Any, write_page: WritePage, activation: str) -> None:
    model = network(activation=activation, hidden=(20, 12))
    x = np.random.default_rng(2).random((1000, 784), np.float32)
    browser.open(write_page(model))
    assert np.abs(in_page(browser, x) - predicted(model, x)).max() <= 1e-5


KINDS: dict[str, dict[str, Any]] = {
    "several classes": {},
    "two classes": {"loss": "logistic_cross_entropy", "classes": ("no", "yes"), "outputs": 1},
    "labels": {"loss": "logistic_cross_entropy", "classes": ("a", "b", "c"), "outputs": 3},
    "no hidden layer": {"hidden": ()},
    "numbers": {"loss": "squared_error", "classes": (), "outputs": 2, "image": False},
    "counts": {"loss": "poisson", "classes": (), "outputs": 1, "image": False},
    "amounts": {"loss": "gamma", "classes": (), "outputs": 1, "image": False},
    "quantiles": {"loss": "quantile:0.1,0.5,0.8,0.9", "classes": (), "outputs": 4, "image": False},
    "bounded": {"loss": "squared_error of logistic", "classes": (), "outputs": 2, "image": False},
    "bounds of sizes": {"loss": "huber:0.3", "classes": (), "outputs": 2, "image": False},
    "positive": {"loss": "absolute_error of softplus", "classes": (), "outputs": 1, "image": False},
    "several activations": {"activation": "tanh,relu,gelu", "hidden": (9, 8, 7)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_output_has_the_same_predictions(browser: Any, write_page: WritePage, kind: str) -> None:
    model = network(**KINDS[kind])
    x = np.random.default_rng(3).random((200, model.layer_sizes[0]), np.float32)
    browser.open(write_page(model))
    np.testing.assert_allclose(in_page(browser, x), predicted(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["several classes", "two classes", "labels", "quantiles", "bounded", "amounts"])
def test_an_ensembles_predictions_and_their_spread_are_the_same(browser: Any, write_page: WritePage, kind: str) -> None:
    one, rng = network(**KINDS[kind]), np.random.default_rng(7)

    def members(array: np.ndarray) -> np.ndarray:
        return np.stack([array, *(array * rng.normal(1, 0.3, (2, *array.shape)))]).astype(np.float32)

    model = dataclasses.replace(one, layers=tuple(Layer(*map(members, layer)) for layer in one.layers))
    x = rng.random((100, model.layer_sizes[0]), np.float32)
    browser.open(write_page(model))
    np.testing.assert_allclose(in_page(browser, x), predicted(model, x), rtol=1e-5, atol=1e-5)
    if not model.classes:
        spread = browser.run("return Array.from(spreadOf(page.network, arguments[0]))", x[0].tolist())
        expected: Any = xpmlp.predict(model, x[:1], prepared=True)
        np.testing.assert_allclose(spread, expected.spread.reshape(-1), rtol=1e-4, atol=1e-5)
        header = browser.run(
            "const { columns } = page.description, names = columns.map(({ name }) => name).join();"
            "return predictRows(page.network, page.description, `${names}\\n${columns.map(() => 1).join()}`).header"
        )
        assert sum(name.startswith("spread") for name in header) == len(spread)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        *((activation, "softmax_cross_entropy") for activation in ACTIVATIONS),
        *(("tanh,relu", loss) for loss in LOSSES),
        ("gelu,relu", "huber:0.3"),
        ("silu,elu", "quantile:0.2,0.7"),
        ("tanh", "huber:0.3 of softplus"),
    ],
)
def test_one_step_by_hand_is_a_step_of_training(
    browser: Any, write_page: WritePage, activation: str, loss: str
) -> None:
    """The loss before and after a step of plain gradient descent, in float64 here."""
    is_classifier = find_loss(loss).is_correct is not None
    levels = len(LossName.parse(loss).levels) or 1
    outputs = 3 if is_classifier else 2 * levels
    model = network(
        hidden=(7, 5),
        activation=activation,
        loss=loss,
        classes=("a", "b", "c") if is_classifier else (),
        outputs=outputs,
        image=False,
    )
    x = np.random.default_rng(4).standard_normal((1, 6))
    label: Any = {"softmax_cross_entropy": 2, "logistic_cross_entropy": [True, False, True]}.get(loss, [0.5, 2.0])
    targets = np.eye(3)[[2]] if loss == "softmax_cross_entropy" else np.array([label], np.float64)
    layers = tree_map(lambda array: array.astype(np.float64), model.layers)
    options: Any = {"activation": find_activation(activation), "loss": find_loss(loss)}
    before, gradients = objective_and_gradients(np, layers, x, targets, **options)
    stepped = tree_map(lambda weight, gradient: weight - 0.01 * gradient, layers, gradients)
    after, _ = objective_and_gradients(np, stepped, x, targets, **options)
    browser.open(write_page(model))
    found = browser.run(
        """
        const network = page.network;
        const targets = targetsOf(network, arguments[1]);
        const { value, gradient } = lossOf(network);
        const trace = forward(network, Float64Array.from(arguments[0]));
        const back = backward(network, trace, gradient(trace.logits, targets));
        const next = forward(step(network, trace, back, 0.01), Float64Array.from(arguments[0]));
        return [value(trace.logits, targets), value(next.logits, targets)];
        """,
        x[0].tolist(),
        label,
    )
    np.testing.assert_allclose(found, [float(before), float(after)], rtol=1e-6)


def test_what_speaks_for_a_class_adds_up_to_its_sum_without_biases(browser: Any, write_page: WritePage) -> None:
    """For a network that is linear between its kinks, inputs × traced weights and biases make up the sum z."""
    model = network(hidden=(24, 9))
    browser.open(write_page(model))
    x = np.random.default_rng(5).random(784).astype(np.float32)
    total, z, at_zero = browser.run(
        """
        const x = Float32Array.from(arguments[0]);
        const trace = forward(page.network, x);
        const back = backward(page.network, trace, Float64Array.from({ length: 10 }, (_, k) => Number(k === 4)));
        const biases = page.network.layers.map(({ bias }, l) => sum(back.atSums[l].map((slope, j) => slope * bias[j])));
        return [sum(contributions(page.network, x, 4)), trace.logits[4], sum(biases)];
        """,
        x.tolist(),
    )
    assert total + at_zero == pytest.approx(z, abs=1e-9)


def test_the_steps_shown_are_those_numbers(browser: Any, write_page: WritePage) -> None:
    """Examples of the page of a run, a label chosen, and the loss that the page then shows."""
    model = network()
    x = np.random.default_rng(6).integers(0, 256, (3, 784)).astype(np.float32) / np.float32(255)
    browser.open(write_page(model, PageContent("test", examples=x, labels=[1, 2, 3])))
    browser.run("document.querySelectorAll('.strip button')[1].click()")
    browser.settle()
    select = browser.find("#label")
    assert select.get_attribute("value") == "2"
    select.find_element("css selector", "option[value='7']").click()
    shown = float(browser.text("#loss"))
    probability = predicted(model, x[1:2])[0, 7]
    assert shown == pytest.approx(-np.log(probability), rel=1e-3)
    foretold = float(browser.text("#loss-after"))
    browser.find("#take-step").click()
    first, second = (float(number.replace("−", "-")) for number in browser.text("#losses").split(" → "))
    assert (first, second) == (shown, foretold)
    assert second < first
    browser.find("#reset-steps").click()
    assert float(browser.text("#loss")) == shown


def test_scores_and_curves_are_told(browser: Any, write_page: WritePage) -> None:
    history = [
        {"epoch": epoch, "train_loss": 1 / epoch, "test_loss": 2 / epoch, "test_accuracy": 1 - 1 / (epoch + 1)}
        for epoch in (1, 2, 3)
    ]
    report = {"accuracy": 0.5, "confusion": (np.eye(10, dtype=int) * 12).tolist()}
    content = PageContent("name", "summary", facts=[("Seed", "7")], history=history, report=report)
    browser.open(write_page(network(), content))
    about = browser.text("#about")
    for words in ("784", "19,", "Seed", "7", "Loss by epoch", "Test accuracy by epoch", "12"):
        assert words in about
    labels = browser.run("return [...document.querySelectorAll('#about svg')].map((each) => each.ariaLabel)")
    assert labels == [
        "Loss by epoch, at the end training 0.333, test 0.667",
        "Test accuracy by epoch, at the end test 75.0 %",
    ]
    assert json.loads(browser.run("return document.getElementById('description').textContent"))["title"] == "name"
