"""The regressor."""

from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from xpmlp.backends import Backend

from .base import MLPBase
from .checks import as_floats, ravel_column
from .places import home_of, move, on_host, to_host


class MLPRegressor(RegressorMixin, MLPBase):
    """A multilayer perceptron that predicts numbers, with scikit-learn's interface.

    Every parameter, attribute and method of ``sklearn.neural_network.MLPRegressor`` is here under the same name with
    the same meaning, and the same ``random_state`` leads to the same network. What is new comes last among the
    parameters. ``docs/estimators.md`` compares the two.

    Parameters
    ----------
    loss
        ``"squared_error"``; or ``"poisson"`` for counts, whose logarithm the network then predicts.
    dropout
        The probability that a hidden unit is left out of a sample in training, from 0 to below 1.
    backend
        What computes: ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or ``"auto"``. None follows the arrays.
    device
        Where: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``. None follows the arrays, or is the backend's choice.
    dtype
        ``"float32"`` or ``"float64"``, to compute in whatever the arrays are. None follows the arrays.
    callbacks
        Instances of `xpmlp.training.Callback`, called after each epoch of sgd and adam.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLPBase._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }
    _y_numeric = True

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        dropout: Any = 0.0,
        backend: Any = None,
        device: Any = None,
        dtype: Any = None,
        callbacks: Any = (),
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.backend = backend
        self.device = device
        self.dtype = dtype
        self.callbacks = callbacks

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Train on samples and the numbers to predict of them.

        Parameters
        ----------
        X
            Shape ``(samples, features)``: an array of any library, a data frame, or a sparse matrix.
        y
            Shape ``(samples,)`` or ``(samples, outputs)``.
        sample_weight
            Shape ``(samples,)``: how much each counts, at least 0. None lets all count alike.

        Raises
        ------
        DivergedError
            A ValueError: where the learning rate is too high for the data.
        SettingsError
            A ValueError: where the arrays are not all of one library and device, or the backend cannot be had.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(lambda estimator: estimator._is_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Train one epoch more on these samples; see `fit`."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _check_targets(self, home: Backend, y: Any, *, incremental: bool) -> Any:
        """Return the numbers to predict, a column for each output."""
        xp = home.xp
        if scipy.sparse.issparse(y):
            raise TypeError("Sparse data was passed for y, but dense data is required. Use y.toarray().")
        if isinstance(y, np.ndarray):
            if y.dtype.kind not in "biuf":
                raise ValueError(f"y holds no numbers, but {y.dtype} values. Convert them first: y.astype(float).")
            y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        else:
            y = ravel_column(home, y)
        if not on_host(home):
            y = as_floats(home, home.asarray(y), None)
        if self.loss == "poisson" and bool(xp.any(y < 0)):
            raise ValueError("Some value(s) of y are out of the valid range of the loss 'poisson': they are negative.")
        return y if y.ndim == 2 else xp.reshape(y, (-1, 1))

    def _loss_name(self) -> str:
        """Return the loss, which has the same name there."""
        return str(self.loss)

    def predict(self, X: Any) -> Any:
        """Return the predicted numbers, shape ``(samples,)`` or ``(samples, outputs)``.

        An array of X's library on X's device.
        """
        outputs, backend, home = self._outputs(X)
        predictions = move(outputs, backend, home)
        return predictions[:, 0] if predictions.shape[1] == 1 else predictions

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², the part of the variance of y that is predicted; of several outputs the mean."""
        from sklearn.metrics import r2_score

        home = home_of(X, y, sample_weight)
        if on_host(home):
            return float(super().score(X, y, sample_weight))
        y, weight, predictions = (
            None if value is None else to_host(home_of(value), value) for value in (y, sample_weight, self.predict(X))
        )
        return float(r2_score(y, predictions, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
