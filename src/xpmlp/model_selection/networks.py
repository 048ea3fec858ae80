"""What a search's fit needs to become a member of a population: its inputs, initial weights, order and settings."""

import functools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection._validation import _check_method_params
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import _safe_split

from xpmlp.backends import Backend
from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.estimators.arrays import backend_of, dtype_name, find_backend, numpy_backend, to_host
from xpmlp.estimators.functions import activations_of, reported_loss
from xpmlp.estimators.stochastic import Reshuffler, batch_size, explain_divergence, reset_optimizer, split_rows
from xpmlp.estimators.stopping import Stopping
from xpmlp.nn.activations import Activations
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.optimizers import Optimizer, adam, sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import FitResult
from xpmlp.training.errors import DivergedError, describe_divergence
from xpmlp.training.population import Member, Rows

OPTIMIZERS: dict[Any, Callable[..., Optimizer]] = {
    ("sgd", False): sgd,
    ("sgd", True): functools.partial(sgd, nesterov=True),
    ("adam", True): adam,
    ("adam", False): adam,
}


class UnsuitableError(Exception):
    """A fit cannot be part of a population, for the reason that is its message."""


@dataclass(eq=False)
class Inputs:
    """Valid training samples of a network, on the host.

    Attributes
    ----------
    attributes
        What validating them has set in the estimator, such as ``classes_``.
    source
        The search's own samples, if these are rows of them, namely `train`.
    """

    x: Any
    targets: Any
    weight: Any
    attributes: dict[str, Any]
    train: Any
    source: Any
    place: Backend  # of the search's samples

    def same_targets(self, other: "Inputs") -> bool:
        """Return whether two folds have the same classes, so that a row's target is the same in both."""
        return self.x.dtype == other.x.dtype and np.array_equal(
            self.attributes.get("classes_", ()), other.attributes.get("classes_", ())
        )


@dataclass(eq=False)
class Start:
    """Where networks begin that share inputs, architecture and random state: weights, and the order of the rows."""

    layers: Layers
    dropout_key: int
    rows: Rows


class MemberStopping(Stopping):
    """scikit-learn's rule for stopping, for a member of a population, whose weights are among those of all others."""

    def show_weights(self, run: Any) -> None:
        """Do nothing."""


@dataclass(eq=False)
class Fit:
    """A network of a search, to be trained on a fold.

    Attributes
    ----------
    estimator
        `network`, or a pipeline that ends in it.
    kind
        What all members of a population have in common.
    seconds
        Its share of the time.
    """

    estimator: Any
    network: Any
    inputs: Inputs
    start: Start
    backend: Backend
    batch_size: int
    seconds: float
    stopping: Any = None
    error: Exception | None = None
    stopped_early: bool = False
    warned: str = ""

    @property
    def rows(self) -> Rows:
        """Rows of `inputs` that it trains on."""
        return self.start.rows

    @property
    def problem(self) -> Any:
        """The part of its `Problem` that explains why training diverged."""
        inputs = self.inputs
        return SimpleNamespace(samples=Samples(inputs.x, inputs.targets), source=inputs.place)

    @property
    def loss(self) -> Loss:
        """The loss, as scikit-learn reports it."""
        return reported_loss(self.network)

    @property
    def activation(self) -> Activations:
        """The activation of the hidden layers."""
        return activations_of(self.network.activation, len(self.start.layers) - 1)

    @property
    def optimizer(self) -> Callable[..., Optimizer]:
        """The function that makes the optimizer."""
        return OPTIMIZERS[self.network.solver, bool(self.network.nesterovs_momentum)]

    @property
    def kind(self) -> Any:
        """What all members of a population have in common."""
        network = self.network
        shapes = tuple(layer.weight.shape for layer in self.start.layers)
        place = (self.backend.name, self.backend.device_name, str(self.start.layers[0].weight.dtype), self.batch_size)
        return (type(network), self.activation, self.loss, self.optimizer, shapes, place)

    def member(self, rows: Rows) -> Member:
        """Return the member of a population that trains this network on rows of the population's samples."""
        network = self.network
        _, settings = network._optimizer
        score = None
        if network.early_stopping == "loss":
            score = lambda _: (run.history[-1].validation_loss, -run.history[-1].validation_loss)  # noqa: E731
        elif network.early_stopping:
            score = lambda _: (run.history[-1].validation_loss, run.score)  # noqa: E731
        run: Any = SimpleNamespace(rows=len(rows.train), state=SimpleNamespace())
        self.stopping = MemberStopping(network, self.problem, network._learning_rate, score)

        def end_epoch(member: Member) -> None:
            """Let scikit-learn's rule see the epoch; its number stands for its weights."""
            run.history, run.stop, run.score = member.history, member.stop, member.score
            run.state.layers = len(member.history)
            self.stopping.on_epoch_end(run)
            if self.stopping.best_layers == len(member.history):
                member.keep()

        return Member(
            layers=self.start.layers,
            rows=rows,
            schedule=network._learning_rate,
            epochs=network.max_iter,
            optimizer={name: value for name, value in settings.items() if name != "nesterov"},
            l2=float(network.alpha),
            dropout=float(network.dropout),
            dropout_key=self.start.dropout_key,
            on_epoch_end=end_epoch,
        )

    def finish(self, member: Member) -> None:
        """Store the trained network in its estimator, as its own fit would have."""
        network, state = self.network, member.state
        assert state is not None  # the population has been trained
        if member.diverged:
            rate = network._learning_rate.current
            message = describe_divergence(len(member.history) + 1, member.objective, rate)
            if self.stopping.best_layers is None:
                result = FitResult(
                    backend=numpy_backend(),
                    state=state,
                    history=tuple(member.history),
                    stop_reason=member.stop_reason,
                    interrupted=False,
                    seconds=self.seconds,
                    kept_epoch=len(member.history),
                )
                error = DivergedError(message, len(member.history) + 1, result)
                self.error = explain_divergence(error, self.problem)
                return
            self.warned = f"{message} The weights are those of the best validation score."
        elif member.stop_reason is None:
            self.warned = (
                f"Stochastic Optimizer: Maximum iterations ({network.max_iter}) reached and the optimization hasn't "
                f"converged yet."
            )
        network._optimizer_state = state.optimizer
        if network.dropout > 0.0:
            network._dropout_key = int(state.dropout)
        network._keep(member.layers, numpy_backend(), self.inputs.place)

    def fitted(self, X: Any, y: Any = None, **parameters: Any) -> Any:
        """Take the place of the estimator's `fit`: warn, or raise the error, of the training that is done."""
        if self.error is not None:
            raise self.error
        if self.warned:
            warnings.warn(self.warned, ConvergenceWarning, stacklevel=2)
        return self.estimator


class Preparation:
    """Prepares the fits of a search, and does only once what several of them have in common."""

    def __init__(self) -> None:
        self.done: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` has returned for an equal key."""
        if key not in self.done:
            self.done[key] = make()
        return self.done[key]

    def prepare(self, estimator: Any, X: Any, y: Any, task: dict[str, Any]) -> Fit:
        """Return a fit, with the parameters of its task set and all but its network fitted.

        Raises
        ------
        UnsuitableError
            If it cannot be part of a population, or is not valid, which scikit-learn then says.
        """
        began = time.perf_counter()
        try:
            if task["parameters"] is not None:
                estimator = estimator.set_params(**clone(task["parameters"], safe=False))
            network, prefix = find_network(estimator)
            check_network(network, task, prefix)
            network._validate_params()
            network._check_settings(network._hidden_sizes())
            check_functions(network)
            if isinstance(estimator, Pipeline):
                estimator.steps = [*self.transform(estimator, X, y, task)[0], estimator.steps[-1]]
            inputs = self.inputs(estimator, network, X, y, task, prefix)
            vars(network).update(inputs.attributes)
            start = self.start(network, inputs)
            units = [inputs.x.shape[1], *(layer.weight.shape[1] for layer in start.layers)]
            network._reset_attributes(units)
            reset_optimizer(network)
            return Fit(
                estimator=estimator,
                network=network,
                inputs=inputs,
                start=start,
                backend=find_backend(network.backend, network.device, inputs.place),
                batch_size=batch_size(network, len(start.rows.train)),
                seconds=time.perf_counter() - began,
            )
        except UnsuitableError:
            raise
        except Exception as error:
            raise UnsuitableError(f"preparing them failed ({type(error).__name__}: {error})") from error

    def transform(self, estimator: Pipeline, X: Any, y: Any, task: dict[str, Any]) -> tuple[Any, Any]:
        """Return a pipeline's fitted steps before the network, and the training rows that they return."""
        name = estimator.steps[-1][0]
        own = {key: value for key, value in (task["parameters"] or {}).items() if key.split("__")[0] != name}

        def make() -> tuple[Any, Any]:
            before = Pipeline(estimator.steps[:-1])
            x, targets = _safe_split(estimator, X, y, task["train"])
            return before, before.fit_transform(x, targets) if before.steps else x

        before, x = self.once((id(task["train"]), "steps", joblib.hash(own) if own else None), make)
        return before.steps, x

    def inputs(self, estimator: Any, network: Any, X: Any, y: Any, task: dict[str, Any], prefix: str) -> Inputs:
        """Return the network's valid inputs."""
        train, is_pipeline = task["train"], isinstance(estimator, Pipeline)

        def make() -> Inputs:
            x, targets = _safe_split(estimator, X, y, train)
            if is_pipeline:
                x = self.transform(estimator, X, y, task)[1]
            weight = _check_method_params(X, task["fit_params"] or {}, train).get(f"{prefix}sample_weight")
            known = set(vars(network))
            place = backend_of(x)
            valid = network._check_input(place, x, targets, weight, reset=True, incremental=False)
            attributes = {name: value for name, value in vars(network).items() if name not in known}
            if scipy.sparse.issparse(valid[0]):
                raise UnsuitableError("their inputs are sparse")
            x, targets, weight = map(to_host, valid)
            return Inputs(x, targets, weight, attributes, np.asarray(train), None if is_pipeline else X, place)

        steps = id(self.transform(estimator, X, y, task)[1]) if is_pipeline else None
        weights = joblib.hash(network.class_weight) if getattr(network, "class_weight", None) is not None else None
        loss = getattr(network, "loss", None)
        valid: Inputs = self.once((id(train), steps, type(network), loss, str(network.dtype), weights), make)
        return valid

    def start(self, network: Any, inputs: Inputs) -> Start:
        """Return the network's initial weights, and the order of its rows."""
        units = (inputs.x.shape[1], *network._hidden_sizes(), inputs.targets.shape[1])
        dtype = dtype_name(inputs.x)
        seed = network.random_state

        def make() -> Start:
            random_state = check_random_state(seed)
            network._initialize(list(units), random_state, dtype)
            train, validation = np.arange(len(inputs.x)), None
            if network.early_stopping:
                problem: Any = SimpleNamespace(samples=Samples(inputs.x, inputs.targets))
                train, validation = split_rows(network, problem, random_state)
            rows = Rows(train, Reshuffler(random_state if network.shuffle else None), validation)
            return Start(network._layers(numpy_backend()), network._dropout_key, rows)

        if not isinstance(seed, int | np.integer):
            return make()
        splits = (network.early_stopping, network.validation_fraction if network.early_stopping else None)
        has_dropout, is_logistic = network.dropout > 0.0, network.activation == "logistic"
        key = (id(inputs), units, int(seed), is_logistic, has_dropout, splits, bool(network.shuffle), network.solver)
        start: Start = self.once(key, make)
        network._dropout_key = start.dropout_key
        return start


def find_network(estimator: Any) -> tuple[Any, str]:
    """Return the network that an estimator is or ends in, and the prefix of its parameters."""
    network, prefix = estimator, ""
    if type(estimator) is Pipeline:
        name, network = estimator.steps[-1]
        prefix = f"{name}__"
    if type(network) not in (MLPClassifier, MLPRegressor):
        raise UnsuitableError(f"{type(network).__name__} is not one of xpmlp's networks")
    return network, prefix


def check_functions(network: Any) -> None:
    """Refuse what the networks of a population do not know yet."""
    unsuitable = {
        f"solver={network.solver!r}": network.solver not in ("sgd", "adam"),
        "max_grad_norm": network.max_grad_norm is not None,
        "a dropout for each layer": isinstance(network.dropout, tuple | list),
        "label_smoothing": bool(getattr(network, "label_smoothing", 0.0)),
        "a loss of one's own, or with levels": not isinstance(network.loss, str) or ":" in network.loss,
    }
    for what, is_unsuitable in unsuitable.items():
        if is_unsuitable:
            raise UnsuitableError(f"populations do not know {what}")


def check_network(network: Any, task: dict[str, Any], prefix: str) -> None:
    """Refuse a network that cannot be part of a population."""
    if network.solver == "lbfgs":
        raise UnsuitableError("solver='lbfgs' takes steps of its own length for each network")
    for name, what in (("warm_start", "continues an earlier fit"), ("verbose", "prints each epoch")):
        if getattr(network, name):
            raise UnsuitableError(f"{name}=True {what}")
    if not isinstance(network.early_stopping, bool) and network.early_stopping != "loss":
        raise UnsuitableError("early_stopping with a scorer predicts with each network by itself")
    if network.solver == "adamw" or network.max_grad_norm is not None or isinstance(network.dropout, tuple | list):
        raise UnsuitableError("adamw, max_grad_norm and a dropout for each layer are for one network")
    usual = network.loss in ("log_loss", "squared_error", "poisson") and isinstance(network.activation, str)
    if (
        not usual
        or getattr(network, "label_smoothing", None)
        or getattr(network, "out_activation", None) not in (None, "identity")
    ):
        raise UnsuitableError(
            "the loss, an activation for each layer, label_smoothing or out_activation is for one network"
        )
    if network.callbacks or hasattr(network, "_skl_callbacks"):
        raise UnsuitableError("callbacks follow the run of one network")
    others = (task["fit_params"] or {}).keys() - {f"{prefix}sample_weight"}
    if others:
        raise UnsuitableError(f"the fit parameters {sorted(others)} are not for the network")
