"""scikit-learn's MLPClassifier, an epoch at a time."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier


class ScikitLearnTrainer:
    """Trains with `partial_fit`, one call an epoch.

    Not with `fit` and ``warm_start``, which takes as long, but begins a new optimizer in every call: Adam would never
    come beyond its first steps.
    """

    def __init__(self, workload: Any, settings: Any) -> None:
        self.x, self.labels = workload.x.astype(settings.dtype), workload.labels
        self.classes = np.arange(workload.classes)
        self.model = MLPClassifier(
            settings.hidden_layer_sizes,
            activation=settings.activation,
            solver=settings.optimizer,
            alpha=0.0,
            batch_size=settings.batch_size,
            learning_rate_init=settings.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            # Not a number, which would shuffle alike in every call.
            random_state=np.random.RandomState(settings.seed),
        )

    def train_epoch(self) -> None:
        """Train for one epoch."""
        self.model.partial_fit(self.x, self.labels, classes=self.classes)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the predicted classes."""
        return self.model.predict(x)


def make_trainer(workload: Any, settings: Any) -> ScikitLearnTrainer:
    """Create the trainer."""
    return ScikitLearnTrainer(workload, settings)
