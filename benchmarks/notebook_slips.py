"""Measure what the notebook's two slips cost in accuracy.

    OPENBLAS_NUM_THREADS=1 python benchmarks/notebook_slips.py [--epochs 50] [--seeds 3] [--data-dir FOLDER]

Slip (a) is in the backward pass: ``1 - tanh(a)**2`` where a is a tanh already. Slip (b) is in the first derivation: the
output gradient (ŷ − y) ŷ (1 − ŷ). ``docs/derivation.md`` explains both. This trains the notebook's network on MNIST
with neither, either and both, from the same initial weights and with the same shuffles. Prints a line for each run, and
two tables: loss and accuracy, and the angle between the gradients.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from xpmlp import RECIPES, load_dataset
from xpmlp.datasets import one_hot
from xpmlp.errors import XpmlpError
from xpmlp.nn.activations import ACTIVATIONS, Activation, tanh
from xpmlp.nn.initializers import INITIALIZERS, init_layers
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES, Loss, largest_output_is_correct, softmax, softmax_cross_entropy
from xpmlp.nn.objective import objective_and_gradients
from xpmlp.nn.samples import Samples
from xpmlp.training import OPTIMIZERS, constant, fit

RECIPE = RECIPES["notebook"]


def slipped_tanh_backward(xp: Any, a: Any, gradient: Any) -> Any:
    """Return slip (a)'s gradient: it applies tanh to the output, which is a tanh already."""
    return gradient * (1.0 - xp.tanh(a) ** 2)


def slipped_value_and_gradient(xp: Any, logits: Any, targets: Any) -> tuple[Any, Any]:
    """Return the true loss, so that runs compare, and slip (b)'s gradient: (ŷ − y) ŷ (1 − ŷ)."""
    losses, gradient = softmax_cross_entropy(xp, logits, targets)
    prediction = softmax(xp, logits)
    return losses, gradient * prediction * (1.0 - prediction)


TRUE_ACTIVATION, TRUE_LOSS = ACTIVATIONS["tanh"], LOSSES["softmax_cross_entropy"]
SLIPPED_ACTIVATION = Activation(tanh, slipped_tanh_backward)
SLIPPED_LOSS = Loss(softmax, slipped_value_and_gradient, largest_output_is_correct)

GRADIENTS: dict[str, tuple[Activation, Loss]] = {
    "true gradient": (TRUE_ACTIVATION, TRUE_LOSS),
    "slip (a)": (SLIPPED_ACTIVATION, TRUE_LOSS),
    "slip (b)": (TRUE_ACTIVATION, SLIPPED_LOSS),
    "both": (SLIPPED_ACTIVATION, SLIPPED_LOSS),
}


@dataclass(frozen=True)
class Comparison:
    """A slipped gradient compared with the true one, on all training rows at the same weights.

    `cosine` and `ratio` (slipped norm to true norm) cover all parameters, `hidden_cosine` the hidden layer's.
    """

    cosine: float
    hidden_cosine: float
    ratio: float


@dataclass(frozen=True)
class Outcome:
    """A run: test loss and accuracy after each epoch, and its gradient at the initial and final weights."""

    losses: list[float]
    accuracies: list[float]
    start: Comparison
    end: Comparison


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with MNIST's four files; by default downloaded")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs, help="epochs per run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each gradient (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=RECIPE.learning_rate, help="default: %(default)s")
    options = parser.parse_args()
    if options.epochs < 1 or options.seeds < 1:
        parser.error("--epochs and --seeds must be at least 1")
    if not 0.0 < options.learning_rate < math.inf:
        parser.error("--learning-rate must be a number above 0")

    try:
        dataset = load_dataset("mnist", options.data_dir)
    except XpmlpError as error:
        parser.error(str(error))
    for note in dataset.notes:
        print(f"Note: {note}")
    train = Samples(dataset.train.x, one_hot(dataset.train.labels, dataset.classes))
    test = Samples(dataset.test.x, one_hot(dataset.test.labels, dataset.classes))

    outcomes: dict[str, list[Outcome]] = {name: [] for name in GRADIENTS}
    for seed in range(options.seeds):
        for name in GRADIENTS:
            outcome = run(name, train, test, epochs=options.epochs, seed=seed, learning_rate=options.learning_rate)
            outcomes[name].append(outcome)
            loss, accuracy = outcome.losses[-1], outcome.accuracies[-1]
            print(f"seed {seed}, {name}: test loss {loss:.4f}, accuracy {accuracy:.2%}", flush=True)

    print(f"\n{options.epochs} epochs at learning rate {options.learning_rate:g}; mean [minimum, maximum] of ", end="")
    print(f"{options.seeds} seed{'s' if options.seeds > 1 else ''}\n")
    print_results(outcomes)
    print()
    print_comparisons(outcomes)


def run(name: str, train: Samples, test: Samples, *, epochs: int, seed: int, learning_rate: float) -> Outcome:
    """Train once; the seed determines initial weights and shuffles."""
    activation, loss = GRADIENTS[name]
    generator = np.random.default_rng(seed)
    sizes = (train.x.shape[1], *RECIPE.hidden_layer_sizes, train.targets.shape[1])
    layers = init_layers(xp, generator, sizes, INITIALIZERS[RECIPE.initializer](), dtype=getattr(np, RECIPE.dtype))
    result = fit(
        train,
        layers=layers,
        activation=activation,
        loss=loss,
        optimizer=OPTIMIZERS[RECIPE.optimizer](),
        schedule=constant(learning_rate),
        epochs=epochs,
        batch_size=RECIPE.batch_size,
        generator=generator,
        test=test,
    )
    return Outcome(
        losses=[row.test_loss for row in result.history if row.test_loss is not None],
        accuracies=[row.test_accuracy for row in result.history if row.test_accuracy is not None],
        start=compare(layers, train, activation, loss),
        end=compare(result.layers, train, activation, loss),
    )


def compare(layers: Layers, samples: Samples, activation: Activation, loss: Loss) -> Comparison:
    """Compare a gradient with the true one."""
    true = gradient_of_each_layer(layers, samples, TRUE_ACTIVATION, TRUE_LOSS)
    other = gradient_of_each_layer(layers, samples, activation, loss)
    whole_true, whole_other = np.concatenate(true), np.concatenate(other)
    return Comparison(
        cosine=cosine(whole_true, whole_other),
        hidden_cosine=cosine(true[0], other[0]),
        ratio=float(np.linalg.norm(whole_other) / np.linalg.norm(whole_true)),
    )


def gradient_of_each_layer(layers: Layers, samples: Samples, activation: Activation, loss: Loss) -> list[Any]:
    """Return each layer's gradient as one float64 vector."""
    _, gradients = objective_and_gradients(xp, layers, samples.x, samples.targets, activation=activation, loss=loss)
    return [np.concatenate([array.ravel() for array in layer]).astype(np.float64) for layer in gradients]


def cosine(first: Any, second: Any) -> float:
    """Return the cosine of the angle between two vectors."""
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def print_results(outcomes: dict[str, list[Outcome]]) -> None:
    """Print loss and accuracy of each gradient, and when the true one passed it."""
    print("| gradient | test loss | test accuracy, % | epoch in which the true gradient passes this accuracy |")
    print("|---|---|---|---|")
    for name, runs in outcomes.items():
        losses = [outcome.losses[-1] for outcome in runs]
        accuracies = [100.0 * outcome.accuracies[-1] for outcome in runs]
        passed = [
            passing_epoch(true.accuracies, outcome.accuracies[-1])
            for true, outcome in zip(outcomes["true gradient"], runs, strict=True)
        ]
        epochs = "–" if name == "true gradient" else ", ".join("never" if e is None else str(e) for e in passed)
        print(f"| {name} | {spread(losses, '.4f')} | {spread(accuracies, '.2f')} | {epochs} |")


def print_comparisons(outcomes: dict[str, list[Outcome]]) -> None:
    """Print the angle between each slipped gradient and the true one."""
    print("| gradient | at | cosine | cosine, hidden layer | ratio of norms |")
    print("|---|---|---|---|---|")
    for name, runs in outcomes.items():
        if name == "true gradient":
            continue
        for place, seen in (
            ("initial weights", [outcome.start for outcome in runs]),
            ("final weights", [outcome.end for outcome in runs]),
        ):
            cosines = spread([one.cosine for one in seen], ".3f")
            hidden = spread([one.hidden_cosine for one in seen], ".3f")
            print(f"| {name} | {place} | {cosines} | {hidden} | {spread([one.ratio for one in seen], '.2f')} |")


def passing_epoch(accuracies: Sequence[float], accuracy: float) -> int | None:
    """Return the first epoch, from 1, with a higher accuracy."""
    return next((epoch for epoch, reached in enumerate(accuracies, start=1) if reached > accuracy), None)


def spread(values: Sequence[float], form: str) -> str:
    """Return mean, minimum and maximum."""
    return f"{np.mean(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


if __name__ == "__main__":
    main()
