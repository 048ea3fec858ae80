"""JAX as one writes it by hand for speed: `jax.grad` of a loss, and an epoch as one compiled `lax.scan`."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "logistic": jax.nn.sigmoid}


class JaxTrainer:
    """Trains on arrays in memory, shuffled by `jax.random.permutation` within the compiled epoch."""

    def __init__(self, workload: Any, settings: Any) -> None:
        self.key = jax.random.key(settings.seed)
        sizes = (workload.x.shape[1], *settings.hidden_layer_sizes, workload.classes)
        self.params = []
        for inputs, outputs in itertools.pairwise(sizes):
            self.key, key = jax.random.split(self.key)
            weight = jax.nn.initializers.glorot_uniform()(key, (inputs, outputs), settings.dtype)
            self.params.append((weight, jnp.zeros(outputs, settings.dtype)))
        self.x = jnp.asarray(workload.x, settings.dtype)
        self.labels = jnp.asarray(workload.labels, jnp.int32)
        activation = ACTIVATIONS[settings.activation]
        rows, batch_size, rate = len(workload.x), settings.batch_size, settings.learning_rate
        full = rows // batch_size

        def logits_of(params: Any, x: jax.Array) -> jax.Array:
            for weight, bias in params[:-1]:
                x = activation(x @ weight + bias)
            weight, bias = params[-1]
            return x @ weight + bias

        def loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
            log_probabilities = jax.nn.log_softmax(logits_of(params, x))
            return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=1))

        def step(params: Any, x: jax.Array, labels: jax.Array, batch: jax.Array) -> Any:
            gradients = jax.grad(loss)(params, x[batch], labels[batch])
            return jax.tree.map(lambda p, g: p - rate * g, params, gradients)

        @jax.jit
        def epoch(params: Any, x: jax.Array, labels: jax.Array, key: jax.Array) -> Any:
            order = jax.random.permutation(key, rows)
            batches = order[: full * batch_size].reshape(full, batch_size)
            params, _ = jax.lax.scan(lambda p, batch: (step(p, x, labels, batch), None), params, batches)
            rest = order[full * batch_size :]
            return step(params, x, labels, rest) if len(rest) else params

        self.run_epoch, self.logits_of = epoch, jax.jit(logits_of)

    def train_epoch(self) -> None:
        """Train for one epoch."""
        self.key, key = jax.random.split(self.key)
        self.params = jax.block_until_ready(self.run_epoch(self.params, self.x, self.labels, key))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the predicted classes."""
        return np.asarray(jnp.argmax(self.logits_of(self.params, jnp.asarray(x)), axis=1))


def make_trainer(workload: Any, settings: Any) -> JaxTrainer:
    """Create the trainer."""
    return JaxTrainer(workload, settings)
