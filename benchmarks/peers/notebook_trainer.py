"""The notebook's own code as a candidate, in its float64 or in float32."""

from typing import Any

import notebook
import numpy as np


class NotebookTrainer:
    """Trains as the notebook does: every epoch copies all rows in a new order."""

    def __init__(self, workload: Any, settings: Any, dtype: str) -> None:
        np.random.seed(settings.seed)
        (hidden,) = settings.hidden_layer_sizes
        params = notebook.init_params(workload.x.shape[1], hidden, workload.classes)
        self.params = {name: array.astype(dtype) for name, array in params.items()}
        self.x = workload.x.astype(dtype)
        self.y = np.eye(workload.classes, dtype=dtype)[workload.labels]
        self.settings = settings

    def train_epoch(self) -> None:
        """Train for one epoch."""
        settings = self.settings
        notebook.train_epoch(self.params, self.x, self.y, settings.batch_size, settings.learning_rate)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the predicted classes."""
        return np.argmax(notebook.forward(self.params, x)[0], axis=1)


def make_trainer(workload: Any, settings: Any, dtype: str) -> NotebookTrainer:
    """Create the trainer."""
    return NotebookTrainer(workload, settings, dtype)
