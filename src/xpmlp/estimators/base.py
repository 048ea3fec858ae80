"""What the classifier and the regressor have in common."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import array_api_compat.numpy
import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from xpmlp.backends import BACKENDS, Backend
from xpmlp.backends.select import AUTO
from xpmlp.errors import BackendError, MissingDependencyError, SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.samples import Samples
from xpmlp.nn.tree import tree_map
from xpmlp.training import Callback
from xpmlp.training.prediction import predict_outputs

from .checks import check_lengths, check_samples, check_targets, check_weight
from .files import read_estimator, write_estimator
from .lbfgs import minimize
from .losses import REPORTED_LOSSES
from .places import dtype_name, find_backend, home_of, move, on_host, same_place, to_host
from .problem import Problem
from .rounding import round_as_scikit_learn
from .scikit_learn import take_over
from .sparse import SparseBackend
from .stochastic import begin_curves, fit_stochastic

STOCHASTIC_SOLVERS = ("sgd", "adam")
OUT_ACTIVATIONS = {
    "softmax_cross_entropy": "softmax",
    "logistic_cross_entropy": "logistic",
    "squared_error": "identity",
    "poisson": "exp",
}

Estimator = TypeVar("Estimator", bound="MLPBase")  # Self, which beartype takes on whole classes only


class MLPBase(BaseEstimator, ABC):
    """An estimator that trains a network; see `MLPClassifier` and `MLPRegressor`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "solver": [StrOptions({"lbfgs", *STOCHASTIC_SOLVERS})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "backend": [StrOptions({*BACKENDS, AUTO}), None],
        "device": [str, None],
        "dtype": [StrOptions({"float32", "float64"}), Options(type, {np.float32, np.float64}), None],
        "callbacks": [list, tuple],
    }

    _y_numeric: ClassVar[bool]  # whether y has to be numbers

    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    max_iter: int
    max_fun: int
    tol: float
    verbose: bool | int
    random_state: Any
    warm_start: bool
    early_stopping: bool
    backend: str | None
    device: str | None
    dtype: Any
    callbacks: Any
    dropout: float
    _dropout_key: int = 0

    coefs_: list[Any]
    intercepts_: list[Any]
    n_features_in_: int

    # What a subclass says

    @abstractmethod
    def _check_targets(self, home: Backend, y: Any, *, incremental: bool) -> Any:
        """Return checked targets as a matrix, of the host or of `home` as y is."""

    @abstractmethod
    def _loss_name(self) -> str:
        """Return the name of the loss, out of `xpmlp.nn.losses.LOSSES`."""

    # Fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> None:
        """Train, from new weights or from those at hand."""
        sizes = self._hidden_sizes()
        self._check_settings()
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        home = home_of(X, y, sample_weight)
        x, targets, weight = self._check_input(home, X, y, sample_weight, reset=first_pass, incremental=incremental)
        units = [x.shape[1], *sizes, targets.shape[1]]
        random_state = check_random_state(self.random_state)
        backend = self._choose_backend(home, x)
        dtype = dtype_name(x)
        if first_pass:
            self._initialize(units, random_state, dtype)
        elif self.dtype is None:
            dtype = dtype_name(self.coefs_[0])  # What began in float64 is not rounded by a batch in float32.
        self._check_units(units)
        if not same_place(home, backend) and not on_host(home):
            x, targets, weight = (None if array is None else to_host(home, array) for array in (x, targets, weight))
        problem = Problem(
            backend=backend,
            samples=Samples(x, targets, weight),
            layers=self._layers(backend, dtype),
            activation=ACTIVATIONS[self.activation],
            loss=REPORTED_LOSSES[self._loss_name()],
            penalty=float(self.alpha) or None,
        )
        if self.solver == "lbfgs":
            result = minimize(
                problem,
                loss=LOSSES[self._loss_name()],
                max_iterations=self.max_iter,
                max_evaluations=self.max_fun,
                gradient_tolerance=self.tol,
                verbose=self.verbose is True or self.verbose >= 1,
            )
            layers, self.loss_, self.n_iter_ = result
        else:
            layers = fit_stochastic(self, problem, random_state, incremental=incremental)
        self._keep(layers, backend, home)

    def _hidden_sizes(self) -> list[int]:
        """Return the units of each hidden layer."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _check_settings(self) -> None:
        """Refuse what does not go together, or is not what it should be."""
        if not all(isinstance(callback, Callback) for callback in self.callbacks):
            raise TypeError(f"callbacks must be instances of xpmlp.training.Callback, got {self.callbacks!r}.")
        if self.solver == "lbfgs" and self.dropout > 0.0:
            raise ValueError("solver='lbfgs' needs an objective that is always the same: use sgd or adam for dropout.")
        if self.solver == "lbfgs" and self.callbacks:
            raise ValueError("solver='lbfgs' has no epochs, after which callbacks could be called; use sgd or adam.")

    def _check_input(
        self, home: Backend, X: Any, y: Any, sample_weight: Any, *, reset: bool, incremental: bool
    ) -> tuple[Any, Any, Any]:
        """Return samples, targets and weights, checked; the samples at home, the others there or on the host."""
        if on_host(home):
            x, y = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr", "csc"],
                multi_output=True,
                y_numeric=self._y_numeric,
                dtype=(np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype),
                reset=reset,
            )
            weight = None
            if sample_weight is not None:
                weight = _check_sample_weight(sample_weight, x, ensure_non_negative=True, dtype=x.dtype)
        else:
            with home.scope():
                dtype = None if self.dtype is None else np.dtype(self.dtype).name
                x = check_samples(self, home, X, reset=reset, dtype=dtype)
                y = check_targets(self, home, y)
                check_lengths(x, y)
                weight = sample_weight
                if weight is not None:
                    weight = check_weight(home, weight, x.shape[0], dtype_name(x))
        with home.scope():
            targets = self._check_targets(home, y, incremental=incremental)
            weight = self._class_weighted(home, y, weight, x)
        if not on_host(home) and isinstance(targets, np.ndarray):  # labels that no device can hold
            targets = home.asarray(targets)
        return x, targets, weight

    def _class_weighted(self, home: Backend, y: Any, weight: Any, x: Any) -> Any:
        """Return the samples' weights times those of their classes."""
        return weight

    def _choose_backend(self, home: Backend, x: Any) -> Backend:
        """Return where to compute with samples from home."""
        backend = find_backend(self.backend, self.device, home)
        if not scipy.sparse.issparse(x):
            return backend
        if not on_host(backend):
            raise ValueError(
                f"Sparse samples are computed with by NumPy only, not by backend {backend.name!r}. Leave out backend "
                f"and device, or make the samples dense with X.toarray()."
            )
        return SparseBackend()

    def _initialize(self, units: list[int], random_state: np.random.RandomState, dtype: str) -> None:
        """Draw the first weights as scikit-learn draws them."""
        gain = 1.0 / math.sqrt(3.0) if self.activation == "logistic" else 1.0
        layers = init_layers(
            array_api_compat.numpy,
            random_state,
            units,
            glorot_uniform(gain=gain, draw_bias=True),
            dtype=getattr(np, dtype),
        )
        self.coefs_ = [layer.weight for layer in layers]
        self.intercepts_ = [layer.bias[0, :] for layer in layers]
        self._dropout_key = int(random_state.randint(2**31)) if self.dropout > 0.0 else 0
        self._begin_records(units)

    def _begin_records(self, units: list[int]) -> None:
        """Say what the network is, and that it has seen nothing yet."""
        self.n_layers_ = len(units)
        self.n_outputs_ = units[-1]
        self.out_activation_ = OUT_ACTIVATIONS[self._loss_name()]
        self.n_iter_ = 0
        self.t_ = 0
        if self.solver in STOCHASTIC_SOLVERS:
            begin_curves(self)

    def _check_units(self, units: list[int]) -> None:
        """Refuse to go on with weights of another network."""
        present = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        if present != units:
            raise ValueError(
                f"The weights at hand are those of a network with layers of {present} units, but the settings and the "
                f"data ask for {units}. Fit with warm_start=False to begin anew."
            )

    # The network

    def _layers(self, backend: Backend, dtype: str | None = None) -> Layers:
        """Return the network as arrays of a backend."""
        home = home_of(self.coefs_[0])
        return tuple(
            Layer(move(coef, home, backend, dtype), move(intercept[None, :], home, backend, dtype))
            for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)
        )

    def _keep(self, layers: Layers, backend: Backend, home: Backend) -> None:
        """Keep a network as arrays of home."""
        self.coefs_ = [move(layer.weight, backend, home) for layer in layers]
        self.intercepts_ = [move(layer.bias, backend, home)[0, :] for layer in layers]

    def _outputs(self, X: Any) -> tuple[Any, Backend, Backend]:
        """Return the network's predictions, the backend that they belong to, and that of X."""
        check_is_fitted(self)
        home = home_of(X)
        if on_host(home):
            x = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        else:
            with home.scope():
                x = check_samples(self, home, X, reset=False, dtype=dtype_name(self.coefs_[0]))
        backend = self._choose_backend(home_of(self.coefs_[0]), x)
        layers = self._layers(backend)
        dtype, loss = dtype_name(layers[0].weight), REPORTED_LOSSES[self._loss_name()]
        activation, loss = round_as_scikit_learn(backend, self.activation, loss, self.out_activation_)
        with backend.scope():
            x = move(x, home, backend, dtype)
            outputs = predict_outputs(backend, layers, x, activation=activation, loss=loss)
        return outputs, backend, home

    def to(self: Estimator, backend: str, device: str | None = None) -> Estimator:
        """Move a fitted network to another library or device, where it then predicts and goes on training.

        Parameters
        ----------
        backend, device
            As the parameters of these names; both are set.
        """
        check_is_fitted(self)
        home = home_of(self.coefs_[0])
        target = find_backend(backend, device, home)
        self._keep(self._layers(target), target, target)
        self.set_params(backend=backend, device=device)
        return self

    @classmethod
    def from_sklearn(cls: type[Estimator], estimator: Any, **settings: Any) -> Estimator:
        """Take over a fitted MLP of scikit-learn's: it predicts the same, and ``partial_fit`` goes on from there.

        Parameters
        ----------
        estimator
            scikit-learn's estimator of the same name. It is copied.
        settings
            Parameters to set besides, such as ``backend="torch"``.
        """
        taken: Estimator = take_over(cls, estimator, **settings)
        return taken

    def to_file(self, path: str | Path) -> None:
        """Write the fitted network to a model file, which ``xpmlp evaluate``, ``predict`` and ``inspect`` read too.

        The loss curve, the names of the features and the parameters come along, save for those that are objects (a
        random generator, a dict, callbacks) or infinite; the optimizer's state does not.
        """
        write_estimator(self, path)

    @classmethod
    def from_file(cls: type[Estimator], path: str | Path, **settings: Any) -> Estimator:
        """Read an estimator from a model file: one that `to_file` wrote, or ``xpmlp train``.

        Parameters
        ----------
        settings
            Parameters to set besides, such as ``backend="torch"``.
        """
        read: Estimator = read_estimator(cls, path, **settings)
        return read

    # Being kept

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: arrays as NumPy's, with the name of the place that they came from."""
        state: dict[str, Any] = dict(super().__getstate__())
        if "coefs_" not in state:
            return state
        home = home_of(self.coefs_[0])
        # The optimizer's arrays are wherever the network was trained.
        state["_optimizer_state"] = to_numpy_tree(state.get("_optimizer_state"))
        if not on_host(home):
            state["coefs_"] = [to_host(home, array) for array in self.coefs_]
            state["intercepts_"] = [to_host(home, array) for array in self.intercepts_]
            state["_place"] = (home.name, home.device_name)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore what was pickled, where it came from if that is here, else on NumPy."""
        values = dict(state)
        place = values.pop("_place", None)
        super().__setstate__(values)
        if place is None:
            return
        home = home_of(self.coefs_[0])
        try:
            target = find_backend(place[0], place[1], home)
        except (MissingDependencyError, BackendError, SettingsError):
            return
        self._keep(self._layers(target), target, target)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _is_stochastic(self) -> bool:
        """Tell whether there is a partial_fit; else say why not."""
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True


def to_numpy_tree(tree: Any) -> Any:
    """Return a tree of tuples of arrays with all of them on the host."""
    return None if tree is None else tree_map(lambda array: to_host(home_of(array), array), tree)
