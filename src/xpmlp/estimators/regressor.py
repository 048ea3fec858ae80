"""The regressor."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from xpmlp.backends import Backend

from .arrays import move, to_host
from .base import MLPBase
from .validation import as_floats, ravel_column


@dataclass(eq=False, repr=False)
class RegressionLoss:
    """The regressor's first parameter; a base class, because a dataclass lists the parameters of its bases first."""

    loss: Any = "squared_error"


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, MLPBase, RegressionLoss):
    """A multilayer perceptron for regression, with scikit-learn's interface.

    Every parameter, attribute and method of ``sklearn.neural_network.MLPRegressor`` is here under the same name with
    the same meaning, and the same ``random_state`` gives the same network. The parameters listed below are additional
    and come last. ``docs/estimators.md`` compares the two.

    Parameters
    ----------
    loss
        ``"squared_error"``; or ``"poisson"`` for counts, whose logarithm is then the last layer's output.
    dropout
        Probability of dropping each hidden unit during training, in [0, 1).
    backend
        Library to compute with: ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or ``"auto"``. None: the library of X.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``. None: the device of X, or the backend's default.
    dtype
        ``"float32"`` or ``"float64"`` to compute in. None: the dtype of X.
    callbacks
        Instances of `xpmlp.training.Callback`, called after each epoch of sgd and adam.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLPBase._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }
    _y_numeric = True

    @available_if(lambda estimator: estimator._is_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Train one more epoch on these samples; see `fit`."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _check_targets(self, source: Backend, y: Any, *, incremental: bool | None) -> Any:
        """Return the targets, one column per output."""
        if scipy.sparse.issparse(y):
            raise TypeError("Sparse data was passed for y, but dense data is required. Use y.toarray().")
        xp = source.xp
        if isinstance(y, np.ndarray):
            if y.dtype.kind not in "biuf":
                raise ValueError(f"y has dtype {y.dtype}, which is not numeric. Convert it first: y.astype(float).")
            xp, y = np, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        else:
            y = as_floats(source, ravel_column(source, y), None)
        if self.loss == "poisson" and bool(xp.any(y < 0)):
            raise ValueError("Some value(s) of y are out of the valid range of the loss 'poisson': they are negative.")
        return y if y.ndim == 2 else xp.reshape(y, (-1, 1))

    def _loss_name(self) -> str:
        """Return the loss, whose name is the same."""
        return str(self.loss)

    def predict(self, X: Any) -> Any:
        """Return the predictions, shaped like y, as an array of X's library on X's device."""
        outputs, backend, source = self._outputs(X)
        predictions = move(outputs, backend, source)
        return predictions[:, 0] if predictions.shape[1] == 1 else predictions

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², the fraction of the variance of y that is predicted; averaged over several outputs."""
        return float(r2_score(to_host(y), to_host(self.predict(X)), sample_weight=to_host(sample_weight)))

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags
