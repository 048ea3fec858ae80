"""L-BFGS by SciPy, with loss and gradient computed by the backend."""

import math
import sys
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from xpmlp.backends import Backend
from xpmlp.data.placement import move_samples
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.objective import objective_and_gradients
from xpmlp.nn.samples import Samples, make_batch, slice_rows
from xpmlp.nn.tree import tree_map

from .places import dtype_name
from .problem import Problem

VALUES_AT_A_TIME = 2**21  # of all layers' outputs: bounds what they take beside the samples, whatever their number


class Block(NamedTuple):
    """Samples from `start` up to `stop`, and the part that their mean has in the mean of all."""

    start: int
    stop: int
    share: float


class LbfgsResult(NamedTuple):
    """Where L-BFGS ended: the network, as arrays of the problem's backend, the loss to report, the iterations taken."""

    layers: Layers
    loss: float
    iterations: int


def minimize(
    problem: Problem, *, loss: Loss, max_iterations: int, max_evaluations: int, gradient_tolerance: float, verbose: bool
) -> LbfgsResult:
    """Minimize the objective over all samples, which is added up block by block where there are many.

    Parameters
    ----------
    loss
        What is minimized. The problem's own is that to report, which need not be what its gradient is the slope of.
    gradient_tolerance
        The largest element of the gradient at which to stop.
    verbose
        Whether to print each iteration's objective.
    """
    import scipy.optimize
    from sklearn.utils.optimize import _check_optimize_result

    backend, xp = problem.backend, problem.xp
    shapes = [array.shape for array in parameters(problem.layers)]
    dtype = dtype_name(problem.layers[0].weight)

    with backend.scope():
        samples = move_samples(backend, problem.samples, dtype)
        blocks = split_into_blocks(backend, samples, problem.layers)

    def evaluate(layers: Layers, loss: Loss) -> tuple[Any, Layers]:
        parts = (
            objective_and_gradients(
                xp,
                layers,
                *make_batch(xp, slice_rows(samples, block.start, block.stop)),
                activation=problem.activation,
                loss=loss,
                penalty=problem.penalty if block.start == 0 else None,
            )
            for block in blocks
        )
        value, gradients = next(parts)
        if len(blocks) == 1:
            return value, gradients
        first, *others = (block.share for block in blocks)
        value, gradients = value * first, tree_map(lambda array: array * first, gradients)
        for share, (more, slopes) in zip(others, parts, strict=True):
            value, gradients = value + more * share, add_multiple(gradients, slopes, share)
        return value, gradients

    def objective(vector: Float64[np.ndarray, " parameters"]) -> tuple[float, Float64[np.ndarray, " parameters"]]:
        value, gradients = evaluate(unpack(xp, backend.asarray(vector, dtype), shapes), loss)
        return float(value), backend.to_numpy(pack(xp, gradients)).astype(np.float64)

    iterations = 0

    def report(intermediate_result: Any) -> None:
        nonlocal iterations
        iterations += 1
        sys.stdout.write(f"Iteration {iterations}, loss = {intermediate_result.fun:.8f}\n")

    with backend.scope():
        result = scipy.optimize.minimize(
            objective,
            backend.to_numpy(pack(xp, problem.layers)).astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=report if verbose else None,
            options={"maxfun": max_evaluations, "maxiter": max_iterations, "gtol": gradient_tolerance},
        )
        # Copied, because parts of one vector would keep each other in memory.
        layers = tree_map(
            lambda array: xp.asarray(array, copy=True), unpack(xp, backend.asarray(result.x, dtype), shapes)
        )
        reported = float(evaluate(layers, problem.loss)[0])
    return LbfgsResult(layers, reported, int(_check_optimize_result("lbfgs", result, max_iterations)))


def split_into_blocks(backend: Backend, samples: Samples, layers: Layers) -> list[Block]:
    """Return blocks of as many samples as the layers' outputs leave room for."""
    rows = max(1, VALUES_AT_A_TIME // sum(int(layer.weight.shape[-1]) for layer in layers))
    ends = [(start, min(start + rows, samples.rows)) for start in range(0, samples.rows, rows)]
    if samples.weight is None:
        sums = [float(stop - start) for start, stop in ends]
    else:
        weight = backend.to_numpy(samples.weight).astype(np.float64)
        sums = [float(np.sum(weight[start:stop])) for start, stop in ends]
    total = sum(sums)
    # Where all samples of a block weigh nothing, the objective takes their sum as 1.
    return [Block(start, stop, (part or 1.0) / total) for (start, stop), part in zip(ends, sums, strict=True)]


def add_multiple(layers: Layers, others: Layers, factor: float) -> Layers:
    """Return layers + factor · others."""
    return tuple(
        Layer(layer.weight + factor * other.weight, layer.bias + factor * other.bias)
        for layer, other in zip(layers, others, strict=True)
    )


def parameters(layers: Layers) -> list[Any]:
    """Return all weights, then all biases: in scikit-learn's order, so that sums over them round alike."""
    return [layer.weight for layer in layers] + [layer.bias for layer in layers]


def pack(xp: Any, layers: Layers) -> Any:
    """Put all parameters of a network one after the other."""
    return xp.concat([xp.reshape(array, (-1,)) for array in parameters(layers)])


def unpack(xp: Any, vector: Any, shapes: list[tuple[int, ...]]) -> Layers:
    """Take apart what `pack` put together."""
    arrays, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        arrays.append(xp.reshape(vector[start:stop], shape))
        start = stop
    count = len(arrays) // 2
    return tuple(Layer(weight, bias) for weight, bias in zip(arrays[:count], arrays[count:], strict=True))
