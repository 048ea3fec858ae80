"""The part of scikit-learn's interface that the classifier and the regressor share."""

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar

import array_api_compat.numpy
import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, _fit_context, is_classifier
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import get_scorer_names
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from xpmlp.backends import BACKENDS, Backend
from xpmlp.backends.select import AUTO
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.dropout import has_dropout
from xpmlp.nn.ensembles import stack_networks
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.layers import Layer, Layers
from xpmlp.nn.loss_names import LossName
from xpmlp.nn.samples import Samples
from xpmlp.training.distributed import Communicator, OwnRows
from xpmlp.training.prediction import predict_outputs

from .arrays import (
    SparseBackend,
    backend_of,
    check_samples,
    check_targets,
    dtype_name,
    find_backend,
    follow,
    is_for_tools,
    is_numpy,
    move,
    numpy_backend,
    same_device,
    to_host,
)
from .conversion import PortableMixin
from .functions import check_functions, dropout_of, prediction_functions
from .lbfgs import fit_lbfgs
from .problem import NO_ROWS, GivenRows, Problem, connect_rows
from .stochastic import fit_stochastic, reset_curves

ALONE = Communicator()
STOCHASTIC_SOLVERS = ("sgd", "adam", "adamw")

Estimator = TypeVar("Estimator", bound="MLPBase")  # not Self: beartype supports that on whole classes only


@dataclass(eq=False, repr=False)
class MLPBase(CallbackSupportMixin, PortableMixin, BaseEstimator, ABC):
    """Base class of `MLPClassifier` and `MLPRegressor`, with the parameters of both."""

    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    solver: Any = "adam"
    alpha: Any = 0.0001
    batch_size: Any = "auto"
    learning_rate: Any = "constant"
    learning_rate_init: Any = 0.001
    power_t: Any = 0.5
    max_iter: Any = 200
    shuffle: Any = True
    random_state: Any = None
    tol: Any = 1e-4
    verbose: Any = False
    warm_start: Any = False
    momentum: Any = 0.9
    nesterovs_momentum: Any = True
    early_stopping: Any = False
    validation_fraction: Any = 0.1
    beta_1: Any = 0.9
    beta_2: Any = 0.999
    epsilon: Any = 1e-8
    n_iter_no_change: Any = 10
    max_fun: Any = 15000
    # Not in scikit-learn:
    dropout: Any = 0.0
    max_grad_norm: Any = None
    ensemble: Any = None
    backend: Any = None
    device: Any = None
    dtype: Any = None
    callbacks: Any = ()
    communicator: Any = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMultilayerPerceptron._parameter_constraints,
        "activation": [StrOptions(set(ACTIVATIONS)), tuple, list],
        "solver": [StrOptions({"lbfgs", *STOCHASTIC_SOLVERS})],
        "dropout": [Interval(Real, 0, 1, closed="left"), tuple, list],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "ensemble": [Interval(Integral, 1, None, closed="left"), None],
        "backend": [StrOptions({*BACKENDS, AUTO}), None],
        "device": [str, None],
        "dtype": [StrOptions({"float32", "float64"}), Options(type, {np.float32, np.float64}), None],
        "callbacks": [list, tuple],
        "communicator": "no_validation",
        "early_stopping": ["boolean", StrOptions({"loss", *get_scorer_names()}), callable],
    }

    _dropout_key = 0

    @abstractmethod
    def _check_targets(self, y: Any, *, incremental: bool | None) -> Any:
        """Return valid targets as a matrix of NumPy."""

    @abstractmethod
    def _loss_name(self) -> str:
        """Return the name of the loss in `xpmlp.nn.losses.LOSSES`."""

    def _weights_of_classes(self, y: Any, dtype: str) -> Any:
        """Return the weight of each label's class; None if all weigh the same."""
        return None

    def _training_targets(self, source: Backend, targets: Any, dtype: str) -> Any:
        """Return the targets to train on."""
        return targets

    @classmethod
    @functools.cache  # a search asks for them ten times a fit
    def _get_param_names(cls) -> list[str]:
        """Return the names of the parameters."""
        return list(super()._get_param_names())

    # Training

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self: Estimator,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Estimator:
        """Train on samples and their labels, or targets.

        Parameters
        ----------
        X
            Shape ``(samples, features)``: an array of any library, a data frame, or a sparse matrix.
        y
            Shape ``(samples,)`` or ``(samples, outputs)``; a classifier's several outputs are 0 or 1.
        sample_weight
            Shape ``(samples,)``: non-negative weights; None for equal weights.
        X_val, y_val, sample_weight_val
            Validation samples, on which the network is evaluated after each epoch; with early stopping they are used
            instead of a part of X.

        Raises
        ------
        DivergedError
            A ValueError: the learning rate is too high for the data.
        SettingsError
            A ValueError: the backend or device is not available.
        """
        validation = GivenRows(X_val, y_val, sample_weight_val)
        self._fit(GivenRows(X, y, sample_weight), validation, incremental=False)
        return self

    def _fit(self, given: GivenRows, validation: GivenRows = NO_ROWS, *, incremental: bool) -> None:
        """Train from new weights or from the current ones."""
        processes = connect_rows(self, given.X, sample_weight=given.sample_weight, X_val=validation.X)
        check_functions(self, self._hidden_sizes())
        from_scratch = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        problem = self._make_problem(given, validation, processes, reset=from_scratch, incremental=incremental)
        random_state = self._start(problem, reset=from_scratch)
        if self.solver == "lbfgs":
            fit_lbfgs(self, problem)
        else:
            fit_stochastic(self, problem, random_state, incremental=incremental)

    def _make_problem(
        self,
        given: GivenRows,
        validation: GivenRows = NO_ROWS,
        processes: Communicator = ALONE,
        *,
        reset: bool = True,
        incremental: bool = False,
    ) -> Problem:
        """Return the valid samples, and set the attributes that depend on them alone, such as the classes."""
        source = backend_of(given.X)
        x, targets, weight = self._check_input(source, given, processes, reset=reset, incremental=incremental)
        backend = self._find_backend(source, x)
        processes.compare({"backend": backend.name})
        # A float32 batch does not round a float64 network.
        dtype = dtype_name(x if reset or self.dtype is not None else self.coefs_[0])
        if not same_device(source, backend):
            x, targets, weight = to_host(x), to_host(targets), to_host(weight)
        held_out = processes.together(lambda: self._check_validation(source, targets.shape[1], validation))
        return Problem(
            given=given,
            given_validation=None if held_out is None else validation,
            validation=held_out,
            source=source,
            backend=backend,
            samples=Samples(x, self._training_targets(backend_of(targets), targets, dtype), weight),
            dtype=dtype,
            processes=processes,
        )

    def _start(self, problem: Problem, *, reset: bool = True) -> np.random.RandomState:
        """Draw initial weights or check the current ones, and return the generator of all that is drawn next."""
        x, targets = problem.samples.x, problem.samples.targets
        units = [x.shape[1], *self._hidden_sizes(), targets.shape[1] * self._outputs_per_target()]
        random_state: np.random.RandomState = problem.processes.from_first(check_random_state(self.random_state))
        if reset:
            self._initialize(units, random_state, problem.dtype)
        self._check_units(units)
        return random_state

    def _hidden_sizes(self) -> list[int]:
        """Return the number of units in each hidden layer."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be whole numbers, got {sizes}.")
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _outputs_per_target(self) -> int:
        """Return the number of outputs for each column of the targets."""
        return max(len(LossName.parse(self._loss_name()).levels), 1)

    def _check_validation(self, source: Backend, columns: int, given: GivenRows) -> Samples | None:
        """Return valid validation samples, with this many columns of targets, as arrays of `source`; None if none."""
        if all(part is None for part in given):
            return None
        if given.X is None or given.y is None:
            raise ValueError("X_val and y_val belong together: give both.")
        if self.solver == "lbfgs":
            raise ValueError("solver='lbfgs' has no epochs, so it cannot use X_val; use sgd or adam.")
        X = follow(given.X, source)
        if not is_numpy(source) and is_numpy(backend_of(X)):
            X = source.asarray(np.asarray(X))
        try:
            given = given._replace(X=X)
            x, targets, weight = self._check_input(source, given, reset=False, incremental=None)
            if targets.shape[1] != columns:
                raise ValueError(f"y has {targets.shape[1]} columns, but the training targets have {columns}.")
            return Samples(x, targets, weight)
        except ValueError as error:
            raise ValueError(f"X_val, y_val: {error}") from error

    def _check_input(
        self,
        source: Backend,
        given: GivenRows,
        processes: Communicator = ALONE,
        *,
        reset: bool,
        incremental: bool | None,
    ) -> tuple[Any, Any, Any]:
        """Return this process's valid samples, targets and weights as arrays of `source`, the backend of X.

        The classes and their weights are those of all processes' labels. For validation samples, `incremental` is None:
        they may lack classes, which have no weights of their own.
        """
        wanted = None if self.dtype is None else np.dtype(self.dtype).name
        others = processes if isinstance(processes, OwnRows) and is_classifier(self) else None

        def check_own() -> tuple[Any, Any, Any]:
            y, weight = to_host(given.y), to_host(given.sample_weight)
            if others is not None and scipy.sparse.issparse(y):
                raise ValueError("y: sparse labels cannot be used with a communicator. Use y.toarray().")
            with source.scope():
                x = check_samples(self, source, given.X, reset=reset, dtype=wanted)
            y = check_targets(self, y)
            check_consistent_length(x, y)
            if weight is not None:
                like = np.empty((x.shape[0], 1), dtype_name(x))
                weight = _check_sample_weight(weight, like, ensure_non_negative=True, dtype=like.dtype.type)
            return x, y, weight

        x, y, weight = processes.together(check_own)
        dtype = dtype_name(x)
        kind = {"kind of labels": y.dtype.kind} if is_classifier(self) else {}
        processes.compare({"features of X": x.shape[1], "dtype of X": dtype, "axes of y": y.shape[1:], **kind})
        y = y if others is None else others.concatenate(y)
        targets = processes.together(lambda: self._check_targets(y, incremental=incremental))
        of_class = None if incremental is None else self._weights_of_classes(y, dtype)
        if others is not None:
            own = others.holder(np.arange(len(targets))) == others.rank
            targets, of_class = targets[own], None if of_class is None else of_class[own]
        if of_class is not None:
            weight = of_class if weight is None else weight * of_class
        if not is_numpy(source):
            with source.scope():
                targets = source.asarray(targets, None if targets.dtype == bool else dtype)
                weight = None if weight is None else source.asarray(weight, dtype)
        return x, targets, weight

    def _find_backend(self, source: Backend, x: Any) -> Backend:
        """Return the backend that computes with samples of `source`."""
        backend = find_backend(self.backend, self.device, source)
        if scipy.sparse.issparse(x) and not is_numpy(backend):
            raise ValueError(
                f"Sparse samples are supported by NumPy only, not by backend {backend.name!r}. Leave out backend and "
                f"device, or make the samples dense with X.toarray()."
            )
        return SparseBackend() if scipy.sparse.issparse(x) else backend

    def _initialize(self, units: list[int], random_state: np.random.RandomState, dtype: str) -> None:
        """Draw the initial weights, like scikit-learn."""
        gain = 1.0 / math.sqrt(3.0) if self.activation == "logistic" else 1.0
        draw, xp, count = glorot_uniform(gain=gain, draw_bias=True), array_api_compat.numpy, self.ensemble or 1
        networks = [init_layers(xp, random_state, units, draw, dtype=getattr(np, dtype)) for _ in range(count)]
        layers = networks[0] if self.ensemble is None else stack_networks(np, networks)
        self.coefs_ = [layer.weight for layer in layers]
        self.intercepts_ = [layer.bias[..., 0, :] for layer in layers]
        self._dropout_key = random_state.randint(2**31, size=self.ensemble) if has_dropout(dropout_of(self)) else 0
        self._reset_attributes(units)

    def _reset_attributes(self, units: list[int]) -> None:
        """Set the fitted attributes of a network that has not been trained yet."""
        self.n_layers_ = len(units)
        self.n_outputs_ = units[-1]
        self.out_activation_ = LossName.parse(self._loss_name()).out_activation
        self.n_iter_ = 0
        self.t_ = 0
        if self.solver in STOCHASTIC_SOLVERS:
            reset_curves(self)

    def _check_units(self, units: list[int]) -> None:
        """Raise an error if the current weights do not fit the settings and the data."""
        members = self.coefs_[0].shape[0] if self.coefs_[0].ndim == 3 else None
        if members != self.ensemble:
            raise ValueError(f"The fit has ensemble={members}, not {self.ensemble}: start over with warm_start=False.")
        present = [self.coefs_[0].shape[-2], *(coef.shape[-1] for coef in self.coefs_)]
        if present != units:
            raise ValueError(
                f"The fitted network has layers of {present} units, but the settings and the data need {units}. "
                f"Fit with warm_start=False to start over."
            )

    # The network

    def _layers(self, backend: Backend, dtype: str | None = None) -> Layers:
        """Return the network as arrays of a backend."""
        source = backend_of(self.coefs_[0])
        return tuple(
            Layer(move(coef, source, backend, dtype), move(intercept[..., None, :], source, backend, dtype))
            for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)
        )

    def _keep(self, layers: Layers, backend: Backend, target: Backend) -> None:
        """Move a network from `backend` to `target` and store it in `coefs_` and `intercepts_`."""
        self.coefs_ = [move(layer.weight, backend, target) for layer in layers]
        self.intercepts_ = [move(layer.bias, backend, target)[..., 0, :] for layer in layers]

    def _outputs(self, X: Any) -> tuple[Any, Backend, Backend]:
        """Return the network's predictions, the backend they belong to, and the backend to return them on."""
        check_is_fitted(self)
        source = backend_of(X)
        with source.scope():
            x = check_samples(self, source, X, reset=False, dtype=dtype_name(self.coefs_[0]))
        backend = self._find_backend(backend_of(self.coefs_[0]), x)
        layers = self._layers(backend)
        activation, loss = prediction_functions(self, backend)
        with backend.scope():
            x = move(x, source, backend, dtype_name(layers[0].weight))
            outputs = predict_outputs(backend, layers, x, activation=activation, loss=loss)
        return outputs, backend, numpy_backend() if not is_numpy(source) and is_for_tools() else source

    def to(self: Estimator, backend: str, device: str | None = None) -> Estimator:
        """Move a fitted network to another library or device, where it then predicts and trains."""
        check_is_fitted(self)
        target = find_backend(backend, device, backend_of(self.coefs_[0]))
        self._keep(self._layers(target), target, target)
        self.set_params(backend=backend, device=device)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.backend in (None, "numpy")
        tags.array_api_support = True
        return tags

    def _is_stochastic(self) -> bool:
        """Return True if the solver supports partial_fit."""
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True
