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
from sklearn.metrics._scorer import _PassthroughScorer
from sklearn.model_selection._validation import _check_method_params
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import _safe_split

from xpmlp.backends import Backend
from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.estimators.arrays import backend_of, dtype_name, find_backend, is_numpy, numpy_backend, to_host
from xpmlp.estimators.functions import activations_of, check_functions, reported_loss
from xpmlp.estimators.problem import NO_ROWS, Problem
from xpmlp.estimators.stochastic import Reshuffler, batch_size, explain_divergence, reset_optimizer, split_rows
from xpmlp.estimators.stopping import Stopping
from xpmlp.nn.activations import Activations
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import Loss
from xpmlp.nn.optimizers import Optimizer, adam, adamw, sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import FitResult
from xpmlp.training.errors import DivergedError, describe_divergence
from xpmlp.training.population import Member, Rows, architecture, with_largest_norm

nesterov = functools.partial(sgd, nesterov=True)


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
    loss: Any  # name, and label smoothing

    def same_targets(self, other: "Inputs") -> bool:
        """Return whether two folds have the same classes, so that a row's target is the same in both."""
        classes = (each.attributes.get("classes_", ()) for each in (self, other))
        return self.x.dtype == other.x.dtype and self.loss == other.loss and np.array_equal(*classes)


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
    test_score
        Its accuracy, if the networks of its fold have been scored at once.
    """

    estimator: Any
    network: Any
    inputs: Inputs
    start: Start
    backend: Backend
    batch_size: int
    seconds: float
    stopping: Any = None
    test_score: float | None = None
    error: Exception | None = None
    stopped_early: bool = False
    warned: str = ""

    @property
    def rows(self) -> Rows:
        """Rows of `inputs` that it trains on."""
        return self.start.rows

    @property
    def problem(self) -> Problem:
        """Its rows, as `fit` has them."""
        return make_problem(self.network, self.inputs)

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
        network = self.network
        of_sgd = nesterov if network.nesterovs_momentum else sgd
        optimizer: Callable[..., Optimizer] = {"sgd": of_sgd, "adam": adam, "adamw": adamw}[network.solver]
        return optimizer if network.max_grad_norm is None else with_largest_norm(optimizer)

    @property
    def kind(self) -> Any:
        """What all members of a population have in common."""
        network = self.network
        place = (self.backend.name, self.backend.device_name, str(self.start.layers[0].weight.dtype), self.batch_size)
        layers = architecture(self.start.layers, self.activation)
        return (type(network), self.activation, self.loss, self.optimizer, layers, place)

    def member(self, rows: Rows) -> Member:
        """Return the member of a population that trains this network on rows of the population's samples."""
        network = self.network
        settings = {name: value for name, value in network._optimizer[1].items() if name != "nesterov"}
        if network.max_grad_norm is not None:
            settings["max_grad_norm"] = float(network.max_grad_norm)
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
            optimizer=settings,
            l2=0.0 if network.solver == "adamw" else float(network.alpha),
            dropout=float(network.dropout),
            dropout_key=self.start.dropout_key,
            on_epoch_end=end_epoch,
        )

    def has_accuracy(self, task: dict[str, Any], y: Any) -> bool:
        """Return whether its score is the accuracy of its labels, of which each sample has one, on NumPy arrays."""
        return (
            type(task["scorer"]) is _PassthroughScorer
            and not (task.get("score_params") or task.get("return_train_score") or self.error)
            and isinstance(self.network, MLPClassifier)
            and isinstance(y, np.ndarray)
            and y.ndim == 1
            and is_numpy(self.inputs.place)
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
            others = (task["fit_params"] or {}).keys() - {f"{prefix}sample_weight"}
            if others:
                raise UnsuitableError(f"the fit parameters {sorted(others)} are not for the network")
            self.once((id(task["parameters"]), "valid"), lambda: check_settings(network))
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
            targets = network._training_targets(numpy_backend(), targets, dtype_name(x))
            return Inputs(x, targets, weight, attributes, np.asarray(train), None if is_pipeline else X, place, loss)

        steps = id(self.transform(estimator, X, y, task)[1]) if is_pipeline else None
        weights = joblib.hash(network.class_weight) if getattr(network, "class_weight", None) is not None else None
        loss = (getattr(network, "loss", None), getattr(network, "label_smoothing", None))
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
                train, validation = split_rows(network, make_problem(network, inputs), random_state)
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


def make_problem(network: Any, inputs: Inputs) -> Problem:
    """Return what `fit` would be given."""
    return Problem(
        given=NO_ROWS,
        given_validation=None,
        validation=None,
        source=inputs.place,
        backend=numpy_backend(),
        samples=Samples(inputs.x, inputs.targets, inputs.weight),
        dtype=dtype_name(inputs.x),
        activation=activations_of(network.activation, len(network._hidden_sizes())),
        loss=reported_loss(network),
        l2=None,
    )


def find_network(estimator: Any) -> tuple[Any, str]:
    """Return the network that an estimator is or ends in, and the prefix of its parameters."""
    network, prefix = estimator, ""
    if type(estimator) is Pipeline:
        name, network = estimator.steps[-1]
        prefix = f"{name}__"
    if type(network) not in (MLPClassifier, MLPRegressor):
        raise UnsuitableError(f"{type(network).__name__} is not one of xpmlp's networks")
    return network, prefix


def check_settings(network: Any) -> None:
    """Refuse a network whose settings are not valid, or that cannot be part of a population."""
    network._validate_params()
    check_functions(network, network._hidden_sizes())
    early, loss = network.early_stopping, getattr(network, "loss", None)
    functions = [loss, *(network.activation if isinstance(network.activation, tuple | list) else [network.activation])]
    unsuitable = {
        "solver='lbfgs' takes steps of its own length for each network": network.solver == "lbfgs",
        "warm_start=True continues an earlier fit": network.warm_start,
        "verbose=True prints each epoch": network.verbose,
        f"ensemble={network.ensemble} is a population already": network.ensemble is not None,
        "early_stopping with a scorer predicts with each network by itself": early not in (True, False, "loss"),
        "callbacks follow the run of one network": bool(network.callbacks) or hasattr(network, "_skl_callbacks"),
        "a communicator shares the rows of one network": network.communicator is not None,
        "a dropout for each layer is for one network": isinstance(network.dropout, tuple | list),
        "functions of one's own are for one network": any(not isinstance(each, str | None) for each in functions),
        "loss='quantile' has several outputs for a target": loss == "quantile",
    }
    for reason, applies in unsuitable.items():
        if applies:
            raise UnsuitableError(reason)
