"""Keras 3 on JAX, with `model.fit`."""

import os
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "jax"
import keras

OPTIMIZERS = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "logistic": "sigmoid"}


class KerasTrainer:
    """Trains on arrays in memory; Keras shuffles them."""

    def __init__(self, workload: Any, settings: Any) -> None:
        keras.utils.set_random_seed(settings.seed)
        keras.config.set_floatx(settings.dtype)
        activation = ACTIVATIONS[settings.activation]
        self.model = keras.Sequential(
            [keras.Input((workload.x.shape[1],))]
            + [keras.layers.Dense(size, activation=activation) for size in settings.hidden_layer_sizes]
            + [keras.layers.Dense(workload.classes)]
        )
        self.model.compile(
            optimizer=OPTIMIZERS[settings.optimizer](settings.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.x, self.labels, self.batch_size = workload.x, workload.labels, settings.batch_size

    def train_epoch(self) -> None:
        """Train for one epoch."""
        self.model.fit(self.x, self.labels, batch_size=self.batch_size, epochs=1, verbose=0)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the predicted classes."""
        return np.argmax(self.model.predict(x, verbose=0), axis=1)


def make_trainer(workload: Any, settings: Any) -> KerasTrainer:
    """Create the trainer."""
    return KerasTrainer(workload, settings)
