"""The page's arithmetic in a real browser, compared with the package's own."""

import base64
import json
from typing import Any

import numpy as np
import pytest

import xpmlp
from xpmlp.nn.activations import ACTIVATIONS, find_activation
from xpmlp.nn.loss_names import LossName, find_loss
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.objective import objective_and_gradients
from xpmlp.nn.tree import tree_map
from xpmlp.page import PageContent, to_page

pytestmark = pytest.mark.slow

PREDICT = """
const values = new Float32Array(Uint8Array.from(atob(arguments[0]), (each) => each.charCodeAt(0)).buffer);
const size = page.network.layers[0].inputs;
return Array.from({ length: values.length / size }, (_, i) =>
  Array.from(predict(page.network, values.subarray(i * size, (i + 1) * size))));
"""


def in_page_and_here(browser: Any, model: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions for inputs, probabilities or numbers: the page's, and those of `predict`."""
    prediction = xpmlp.predict(model, x, prepared=True)
    expected = prediction.probabilities if model.classes else prediction.labels.reshape(len(x), -1)
    return np.array(browser.run(PREDICT, base64.b64encode(x.astype("<f4").tobytes()).decode())), expected


@pytest.mark.parametrize(("small", "tolerance", "share"), [(False, 1e-5, 1.0), (True, 0.01, 0.999)])
def test_mnists_test_images_have_the_same_probabilities_and_labels(
    browser: Any, mnist: Any, mnist_model: Any, small: bool, tolerance: float, share: float
) -> None:
    browser.open(mnist_model, small=small)
    found, expected = in_page_and_here(browser, mnist_model, mnist.test.x[:1000])
    assert np.abs(found - expected).max() <= tolerance
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) >= share


def test_the_default_mnist_models_page_can_be_sent_by_mail(mnist: Any, mnist_model: Any) -> None:
    content = PageContent("mnist", examples=mnist.test.x[:48], labels=mnist.test.labels[:48].tolist())
    assert len(to_page(mnist_model, content)) <= 1_200_000
    assert len(to_page(mnist_model, content, small=True)) <= 700_000


def test_every_kind_of_network_predicts_what_predict_does(browser: Any, any_model: Any, model_dtype: str) -> None:
    x = np.random.default_rng(3).random((200, 6), np.float32).astype(model_dtype)
    browser.open(any_model)
    np.testing.assert_allclose(*in_page_and_here(browser, any_model, x), rtol=1e-5, atol=1e-5)
    if any_model.members is not None and not any_model.classes:
        spread = browser.run("return Array.from(spreadOf(page.network, arguments[0]))", x[0].tolist())
        expected: Any = xpmlp.predict(any_model, x[:1], prepared=True)
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
def test_one_step_by_hand_is_a_step_of_training(browser: Any, make_model: Any, activation: str, loss: str) -> None:
    """The loss before and after a step of plain gradient descent, in float64 here."""
    is_classifier = find_loss(loss).is_correct is not None
    levels = len(LossName.parse(loss).levels) or 1
    outputs = 3 if is_classifier else 2 * levels
    classes = ("a", "b", "c") if is_classifier else ()
    model = make_model(hidden=(7, 5), activation=activation, loss=loss, classes=classes, outputs=outputs)
    x = np.random.default_rng(4).standard_normal((1, 6))
    label: Any = {"softmax_cross_entropy": 2, "logistic_cross_entropy": [True, False, True]}.get(loss, [0.5, 2.0])
    targets = np.eye(3)[[2]] if loss == "softmax_cross_entropy" else np.array([label], np.float64)
    layers = tree_map(lambda array: array.astype(np.float64), model.layers)
    options: Any = {"activation": find_activation(activation), "loss": find_loss(loss)}
    before, gradients = objective_and_gradients(np, layers, x, targets, **options)
    stepped = tree_map(lambda weight, gradient: weight - 0.01 * gradient, layers, gradients)
    after, _ = objective_and_gradients(np, stepped, x, targets, **options)
    browser.open(model)
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


def test_what_speaks_for_a_class_adds_up_to_its_sum_without_biases(browser: Any, digits_model: Any) -> None:
    """For a network that is linear between its kinks, inputs × traced weights and biases make up the sum z."""
    browser.open(digits_model)
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


def test_the_steps_shown_are_those_numbers(browser: Any, digits_model: Any) -> None:
    """Examples of the page of a run, a label chosen, and the loss that the page then shows."""
    x = np.random.default_rng(6).integers(0, 256, (3, 784)).astype(np.float32) / np.float32(255)
    browser.open(digits_model, PageContent("test", examples=x, labels=[1, 2, 3]))
    browser.run("document.querySelectorAll('.strip button')[1].click()")
    browser.settle()
    select = browser.find("#label")
    assert select.get_attribute("value") == "2"
    select.find_element("css selector", "option[value='7']").click()
    shown = float(browser.text("#loss"))
    _, probabilities = in_page_and_here(browser, digits_model, x[1:2])
    assert shown == pytest.approx(-np.log(probabilities[0, 7]), rel=1e-3)
    foretold = float(browser.text("#loss-after"))
    browser.find("#take-step").click()
    first, second = (float(number.replace("−", "-")) for number in browser.text("#losses").split(" → "))
    assert (first, second) == (shown, foretold)
    assert second < first
    browser.find("#reset-steps").click()
    assert float(browser.text("#loss")) == shown


def test_scores_and_curves_are_told(browser: Any, digits_model: Any) -> None:
    history = [
        {"epoch": epoch, "train_loss": 1 / epoch, "test_loss": 2 / epoch, "test_accuracy": 1 - 1 / (epoch + 1)}
        for epoch in (1, 2, 3)
    ]
    report = {"accuracy": 0.5, "confusion": (np.eye(10, dtype=int) * 12).tolist()}
    content = PageContent("name", "summary", facts=[("Seed", "7")], history=history, report=report)
    browser.open(digits_model, content)
    about = browser.text("#about")
    for words in ("784", "19,", "Seed", "7", "Loss by epoch", "Test accuracy by epoch", "12"):
        assert words in about
    labels = browser.run("return [...document.querySelectorAll('#about svg')].map((each) => each.ariaLabel)")
    assert labels == [
        "Loss by epoch, at the end training 0.333, test 0.667",
        "Test accuracy by epoch, at the end test 75.0 %",
    ]
    assert json.loads(browser.run("return document.getElementById('description').textContent"))["title"] == "name"
