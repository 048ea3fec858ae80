"""The regressor."""

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.loss_names import LossName
from xpmlp.nn.losses import DEFAULT_QUANTILES, REGRESSION_LOSSES

from .arrays import move, to_host
from .base import MLPBase
from .classifier import MLPClassifier
from .problem import GivenRows


@dataclass(eq=False, repr=False)
class RegressionLoss:
    """The regressor's first parameter; a base class, because a dataclass lists the parameters of its bases first."""

    loss: Any = "squared_error"


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, MLPBase, RegressionLoss):
    """A multilayer perceptron for regression, with scikit-learn's interface.

    Every parameter, attribute and method of ``sklearn.neural_network.MLPRegressor`` is here under the same name with
    the same meaning, and the same ``random_state`` gives the same network. The parameters listed below are additional
    and come last, and so do those of `MLPClassifier` from `activation` on. ``docs/estimators.md`` compares the two.

    Parameters
    ----------
    loss
        ``"squared_error"``, ``"absolute_error"`` or ``"huber"``; ``"quantile"`` to predict the `quantiles`;
        ``"poisson"`` for counts and ``"gamma"`` for amounts, whose logarithm is then the last layer's output. Or a
        function of one's own, ``loss(xp, outputs, targets)`` with the samples' losses and the gradient at the outputs;
        `xp` is the array library's namespace.
    quantiles
        Of the loss ``"quantile"``, ascending: ``predict`` returns a column for each, which never cross.
    huber_delta
        Error beyond which the loss ``"huber"`` grows linearly.
    out_activation
        Function of the last layer, to bound the predictions: ``"logistic"`` to (0, 1), ``"tanh"`` to (−1, 1),
        ``"softplus"`` to positive numbers.
    """

    _: KW_ONLY
    quantiles: Any = DEFAULT_QUANTILES
    huber_delta: Any = 1.0
    out_activation: Any = "identity"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MLPBase._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES)), callable],
        "quantiles": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "out_activation": [StrOptions(set(ACTIVATIONS))],
    }

    @available_if(lambda estimator: estimator._is_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Train one more epoch on these samples; see `fit`."""
        self._fit(GivenRows(X, y, sample_weight), incremental=True)
        return self

    def _check_targets(self, y: Any, *, incremental: bool | None) -> Any:
        """Return the targets, one column per output."""
        if scipy.sparse.issparse(y):
            raise TypeError("Sparse data was passed for y, but dense data is required. Use y.toarray().")
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y has dtype {y.dtype}, which is not numeric. Convert it first: y.astype(float).")
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if self.loss in ("poisson", "gamma") and bool(np.any(y < 0 if self.loss == "poisson" else y <= 0)):
            what = "negative" if self.loss == "poisson" else "not above 0"
            raise ValueError(
                f"Some value(s) of y are out of the valid range of the loss {self.loss!r}: they are {what}."
            )
        return y if y.ndim == 2 else y[:, None]

    def _loss_name(self) -> str:
        """Return the loss with its numbers and output function."""
        kind = "squared_error" if callable(self.loss) else self.loss
        numbers: Any = {"huber": self.huber_delta, "quantile": self.quantiles}.get(kind, ())
        numbers = tuple(np.atleast_1d(np.asarray(numbers, dtype=object)))
        if not all(isinstance(number, Real) for number in numbers) or (kind == "quantile" and not numbers):
            raise ValueError(f"quantiles must be numbers between 0 and 1, got {self.quantiles!r}.")
        numbers = tuple(map(float, numbers))
        name = LossName(kind, numbers, self.out_activation)
        name.make()
        return kind if kind == "huber" and numbers == (1.0,) and name.output == "identity" else str(name)

    def predict(self, X: Any) -> Any:
        """Return the predictions, shaped like y, as an array of X's library on X's device.

        Several quantiles are along a further, last axis.
        """
        outputs, backend, source = self._outputs(X)
        predictions, count = move(outputs, backend, source), self._outputs_per_target()
        if count > 1 and predictions.shape[1] > count:
            return source.xp.reshape(predictions, (predictions.shape[0], -1, count))
        return predictions[:, 0] if predictions.shape[1] == 1 else predictions

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², the fraction of the variance of y that is predicted; averaged over several outputs.

        For the loss ``"quantile"`` it is D², the same for the pinball loss, averaged over the quantiles.
        """
        if self.loss == "quantile":
            truth, weight = to_host(y), to_host(sample_weight)
            levels = LossName.parse(self._loss_name()).levels
            predictions = np.reshape(to_host(self.predict(X)), (len(truth), -1, len(levels)))
            scores = [
                d2_pinball_score(truth, predictions[..., index], sample_weight=weight, alpha=level)
                for index, level in enumerate(levels)
            ]
            return float(np.mean(scores))
        return float(r2_score(to_host(y), to_host(self.predict(X)), sample_weight=to_host(sample_weight)))

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss in ("poisson", "gamma")
        return tags


SHARED = f"{MLPClassifier.__doc__}".partition("activation\n")
MLPRegressor.__doc__ = f"{MLPRegressor.__doc__}{''.join(SHARED[1:])}"
