"""SciPy's L-BFGS, with the objective and its gradient computed by the backend."""

import functools
import itertools
import math
import operator
import sys
from typing import Any

import numpy as np
from jaxtyping import Float64

from xpmlp.data.placement import move_samples
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.objective import objective_and_gradients
from xpmlp.nn.samples import Samples, make_batch, slice_rows
from xpmlp.nn.tree import tree_map
from xpmlp.training.distributed import Combine

from .functions import activation_of, exact_loss, l2_of, reported_loss
from .problem import Problem
from .sklearn_callbacks import SklearnCallbacks

BLOCK_VALUES = 2**21  # outputs of all layers per block: bounds the memory beside the samples


def fit_lbfgs(estimator: Any, problem: Problem) -> None:
    """Train on all samples at once, and store the network, ``loss_`` and ``n_iter_`` in the estimator.

    ``loss_`` is the reported loss, whose gradient need not be the exact derivative. The objective is computed in blocks
    of rows, which bound the memory.
    """
    import scipy.optimize
    from sklearn.utils.optimize import _check_optimize_result

    backend, xp = problem.backend, problem.backend.xp
    dtype, activation, penalty = problem.dtype, activation_of(estimator), l2_of(estimator) or None
    exact = exact_loss(estimator)
    initial = estimator._layers(backend, dtype)
    shapes = [array.shape for array in parameters(initial)]

    with backend.scope():
        samples = move_samples(backend, problem.samples, dtype)
        blocks = split_into_blocks(problem, samples, initial)

    def evaluate(layers: Layers, loss: Loss) -> Any:
        total: Any = None
        for start, stop, share in blocks:
            part: Any = objective_and_gradients(
                xp,
                layers,
                *make_batch(xp, slice_rows(samples, start, stop)),
                activation=activation,
                loss=loss,
                penalty=penalty if start == 0 and problem.processes.rank == 0 else None,
            )
            if len(blocks) > 1 or problem.processes.size > 1:
                part = tree_map(functools.partial(operator.mul, share), part)
            total = part if total is None else tree_map(operator.add, total, part)
        return total if problem.processes.size == 1 else Combine(problem.processes, backend)(total)

    def objective(vector: Float64[np.ndarray, " parameters"]) -> tuple[float, Float64[np.ndarray, " parameters"]]:
        value, gradients = evaluate(unpack(xp, backend.asarray(vector, dtype), shapes), exact)
        return float(value), backend.to_numpy(pack(xp, gradients)).astype(np.float64)

    iterations = 0

    def report(intermediate_result: Any) -> None:
        nonlocal iterations
        iterations += 1
        sys.stdout.write(f"Iteration {iterations}, loss = {intermediate_result.fun:.8f}\n")

    size = initial, blocks[0][1]
    callbacks = SklearnCallbacks(estimator, problem.given)
    callbacks.begin()
    with backend.scope(), backend.run_threads(*size, None), backend.threads_for(*size):
        result = scipy.optimize.minimize(
            objective,
            backend.to_numpy(pack(xp, initial)).astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=report if estimator.verbose >= 1 and problem.processes.rank == 0 else None,
            options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        )
        # Copied: views would keep the whole vector in memory.
        layers = tree_map(
            lambda array: xp.asarray(array, copy=True), unpack(xp, backend.asarray(result.x, dtype), shapes)
        )
        estimator.loss_ = float(evaluate(layers, reported_loss(estimator))[0])
        estimator.n_iter_ = int(_check_optimize_result("lbfgs", result, estimator.max_iter))
        estimator._keep(layers, backend, problem.source)
    callbacks.end()


def split_into_blocks(problem: Problem, samples: Samples, layers: Layers) -> list[tuple[int, int, float]]:
    """Return the first row of each block, the row after its last, and its share of the total weight."""
    rows = max(1, BLOCK_VALUES // sum(int(layer.weight.shape[-1]) for layer in layers))
    ends = [(start, min(start + rows, samples.rows)) for start in range(0, samples.rows, rows)]
    if samples.weight is None:
        sums = [float(stop - start) for start, stop in ends]
    else:
        weight = problem.backend.to_numpy(samples.weight).astype(np.float64)
        sums = [float(np.sum(weight[start:stop])) for start, stop in ends]
    (total,) = problem.processes.sum_numbers(sum(sums))
    # The objective divides by 1 if all weights of a block are 0.
    return [(start, stop, (part or 1.0) / total) for (start, stop), part in zip(ends, sums, strict=True)]


def parameters(layers: Layers) -> list[Any]:
    """Return all weights, then all biases: scikit-learn's order, so that sums over them round alike."""
    return [layer.weight for layer in layers] + [layer.bias for layer in layers]


def pack(xp: Any, layers: Layers) -> Any:
    """Concatenate all parameters into one vector."""
    return xp.concat([xp.reshape(array, (-1,)) for array in parameters(layers)])


def unpack(xp: Any, vector: Any, shapes: list[tuple[int, ...]]) -> Layers:
    """Split a vector from `pack` into layers."""
    stops = list(itertools.accumulate(map(math.prod, shapes)))
    parts = zip([0, *stops], stops, shapes, strict=False)
    return as_layers([xp.reshape(vector[start:stop], shape) for start, stop, shape in parts])


def as_layers(arrays: list[Any]) -> Layers:
    """Return layers of `parameters`."""
    count = len(arrays) // 2
    return tuple(Layer(weight, bias) for weight, bias in zip(arrays[:count], arrays[count:], strict=True))
