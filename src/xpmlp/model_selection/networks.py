"""What a search's fit needs to become a member of a population: its samples, initial weights, order and settings."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
import scipy.sparse
from sklearn.base import clone
from sklearn.metrics._scorer import _PassthroughScorer
from sklearn.model_selection._validation import _check_method_params
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import _safe_split

from xpmlp.estimators import MLPClassifier, MLPRegressor
from xpmlp.estimators.arrays import is_numpy, numpy_backend
from xpmlp.estimators.functions import activation_of, check_functions, l2_of, reported_loss
from xpmlp.estimators.problem import GivenRows, Problem
from xpmlp.estimators.stochastic import (
    batch_size,
    draw_rows,
    keep_result,
    optimizer_of,
    reset_curves,
    reset_optimizer,
)
from xpmlp.estimators.stopping import Stopping
from xpmlp.training import DivergedError, FitResult
from xpmlp.training.errors import describe_divergence
from xpmlp.training.population import Member, Rows, architecture


class UnsuitableError(Exception):
    """A fit cannot be part of a population, for the reason that is its message."""


@dataclass(eq=False)
class Fit:
    """A network of a search, to be trained on a fold, which is a problem that it shares with other networks.

    Attributes
    ----------
    estimator
        `network`, or a pipeline that ends in it.
    rows
        Those of the fold's that it trains on; the same object for all that begin with the same random state.
    seconds
        Its share of the time.
    kind
        Settings that all members of a population share.
    test_score
        Its accuracy, if the networks of its fold have been scored at once.
    """

    estimator: Any
    network: Any
    fold: Problem
    rows: Rows
    seconds: float
    stopping: Stopping = field(init=False)
    member: Member = field(init=False)
    kind: Any = field(init=False)
    test_score: float | None = None

    def __post_init__(self) -> None:
        """Determine the settings that all members of its population share."""
        network, backend, layers = self.network, self.fold.backend, self.network._layers(numpy_backend())
        self.activation, self.loss = activation_of(network), reported_loss(network)
        self.optimizer, self.settings = optimizer_of(network)
        self.batch_size = batch_size(network, len(self.rows.train))
        self.kind = (
            *(type(network), self.activation, self.loss, self.optimizer, architecture(layers, self.activation)),
            *(backend.name, backend.device_name, self.fold.dtype, self.batch_size),
        )

    def make_member(self, rows: Rows) -> Member:
        """Return the member of a population that trains this network on rows of the population's samples."""
        network = self.network
        stopping = self.stopping = Stopping(network, self.fold)

        def end_epoch(member: Member) -> None:
            """Let scikit-learn's rule see the epoch."""
            row, score = member.history[-1], None
            if row.validation_loss is not None and member.score is not None:
                by_loss = network.early_stopping == "loss"
                score = row.validation_loss, -row.validation_loss if by_loss else member.score
            if stopping.end_epoch(row, len(rows.train), score, member.stop):
                member.keep()

        self.member = Member(
            layers=network._layers(numpy_backend()),
            rows=rows,
            schedule=network._learning_rate,
            epochs=network.max_iter,
            optimizer=self.settings,
            l2=l2_of(network),
            dropout=float(network.dropout),
            dropout_key=network._dropout_key,
            on_epoch_end=end_epoch,
        )
        return self.member

    def has_accuracy(self, task: dict[str, Any], y: Any) -> bool:
        """Return whether its score is the accuracy of its labels, of which each sample has one, on NumPy arrays."""
        return (
            type(task["scorer"]) is _PassthroughScorer
            and not (task.get("score_params") or task.get("return_train_score"))
            and isinstance(self.network, MLPClassifier)
            and isinstance(y, np.ndarray)
            and y.ndim == 1
            and is_numpy(self.fold.source)
        )

    def fitted(self, X: Any, y: Any = None, **parameters: Any) -> Any:
        """Take the place of the estimator's `fit`: end it with what the population has made of the network."""
        member, error = self.member, None
        assert member.state is not None  # the population has been trained
        epochs = len(member.history)
        result = FitResult(
            backend=numpy_backend(),
            state=member.state,
            history=tuple(member.history),
            stop_reason=member.stop_reason,
            interrupted=False,
            seconds=self.seconds,
            kept_epoch=member.kept_epoch,
        )
        if member.diverged:
            message = describe_divergence(epochs + 1, member.objective, self.network._learning_rate.current)
            error = DivergedError(message, epochs + 1, result)
        keep_result(self.network, self.fold, result, error, has_best=self.stopping.has_best)
        return self.estimator


class Preparation:
    """Prepares the fits of a search, and does only once what several of them have in common."""

    def __init__(self) -> None:
        self.done: dict[Any, Any] = {}

    def once(self, key: Any, network: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` has returned for an equal key, and give a network the attributes that it has set."""
        if key not in self.done:
            known = set(vars(network))
            made = make()
            self.done[key] = made, {name: value for name, value in vars(network).items() if name not in known}
        made, attributes = self.done[key]
        vars(network).update(attributes)
        return made

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
            self.once((id(task["parameters"]), "valid"), network, lambda: check_settings(network))
            fold = self.fold(estimator, network, X, y, task, prefix)
            rows = self.start(network, fold)
            reset_curves(network)
            reset_optimizer(network)
            return Fit(estimator, network, fold, rows, time.perf_counter() - began)
        except UnsuitableError:
            raise
        except Exception as error:
            raise UnsuitableError(f"preparing them failed ({type(error).__name__}: {error})") from error

    def transform(self, estimator: Any, network: Any, X: Any, y: Any, task: dict[str, Any]) -> Any:
        """Fit a pipeline's steps before the network, and return the training rows that they return."""
        name = estimator.steps[-1][0]
        own = {key: value for key, value in (task["parameters"] or {}).items() if key.split("__")[0] != name}

        def make() -> tuple[Any, Any]:
            before = Pipeline(estimator.steps[:-1])
            x, targets = _safe_split(estimator, X, y, task["train"])
            return before, before.fit_transform(x, targets) if before.steps else x

        before, x = self.once((id(task["train"]), "steps", joblib.hash(own) if own else None), network, make)
        estimator.steps = [*before.steps, estimator.steps[-1]]
        return x

    def fold(self, estimator: Any, network: Any, X: Any, y: Any, task: dict[str, Any], prefix: str) -> Problem:
        """Return the samples that the network trains on."""
        train, x = task["train"], None
        if isinstance(estimator, Pipeline):
            x = self.transform(estimator, network, X, y, task)

        def make() -> Problem:
            own, targets = _safe_split(estimator, X, y, train)
            weight = _check_method_params(X, task["fit_params"] or {}, train).get(f"{prefix}sample_weight")
            problem: Problem = network._make_problem(GivenRows(own if x is None else x, targets, weight))
            if scipy.sparse.issparse(problem.samples.x):
                raise UnsuitableError("their inputs are sparse")
            return problem

        weights = joblib.hash(network.class_weight) if getattr(network, "class_weight", None) is not None else None
        loss = (getattr(network, "loss", None), getattr(network, "label_smoothing", None))
        place = (network.backend, network.device, str(network.dtype))
        fold: Problem = self.once((id(train), id(x), type(network), loss, place, weights), network, make)
        return fold

    def start(self, network: Any, fold: Problem) -> Rows:
        """Give the network its initial weights, and return its rows and their order."""
        seed, units = network.random_state, tuple(network._hidden_sizes())
        seed = seed if isinstance(seed, int | np.integer) else object()  # of which there is no other
        splits = (network.early_stopping, network.validation_fraction if network.early_stopping else None)
        has_dropout, is_logistic = network.dropout > 0.0, network.activation == "logistic"
        key = (id(fold), units, seed, is_logistic, has_dropout, splits, bool(network.shuffle), network.solver)
        make = lambda: draw_rows(network, fold, network._start(fold))  # noqa: E731
        rows: Rows = self.once(key, network, make)
        return rows


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
