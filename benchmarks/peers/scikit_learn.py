"""scikit-learn's MLPClassifier, an epoch at a time."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier


class ScikitLearnTrainer:
    """Trains with `fit` and ``warm_start``, one iteration a call, which is one epoch."""

    def __init__(self, workload: Any, settings: Any) -> None:
        self.x, self.labels = workload.x.astype(settings.dtype), workload.labels
        self.model = MLPClassifier(
            settings.hidden_layer_sizes,
            activation=settings.activation,
            solver=settings.optimizer,
            alpha=0.0,
            batch_size=settings.batch_size,
            learning_rate_init=settings.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            max_iter=1,
            warm_start=True,
            random_state=settings.seed,
        )

    def epoch(self) -> None:
        """Train for one epoch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # after one epoch it never has converged
            self.model.fit(self.x, self.labels)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the likeliest class of each row."""
        return self.model.predict(x)


def make_trainer(workload: Any, settings: Any) -> ScikitLearnTrainer:
    """Make scikit-learn's network."""
    return ScikitLearnTrainer(workload, settings)
