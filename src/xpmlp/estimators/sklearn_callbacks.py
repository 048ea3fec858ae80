"""scikit-learn's own callbacks, such as its ProgressBar and ScoringMonitor: every epoch is one of their tasks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpmlp.training import Callback, Run


class SklearnCallbacks(Callback):
    """Calls the callbacks that were set with ``set_callbacks``, or by a meta-estimator."""

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self.estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}

    def on_fit_start(self, run: Run) -> None:
        """Begin the fit, and its first epoch."""
        self.fit = self.estimator._init_callback_context(max_subtasks=run.epochs)
        self.fit.call_on_fit_task_begin(**self.data)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Begin an epoch."""
        self.epoch = self.fit.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.data)

    def on_epoch_end(self, run: Run) -> None:
        """End an epoch, stop if a callback asks for it, or begin the next epoch."""
        if self.epoch.call_on_fit_task_end(**self.data, reconstruction_attributes=self.fitted):
            run.stop("a callback asked for it")
        self.epoch = None
        if run.stop_reason is None and len(run.history) < run.epochs:
            self.begin_epoch()

    def on_fit_end(self, run: Run) -> None:
        """End the fit."""
        if self.epoch is not None:  # interrupted
            self.epoch.call_on_fit_task_end(estimator=self.estimator)
        self.fit.call_on_fit_task_end(**self.data, reconstruction_attributes=self.fitted)

    def fitted(self) -> dict[str, Any]:
        """Return the attributes of an estimator that was trained so far."""
        return {name: list(getattr(self.estimator, name)) for name in ("coefs_", "intercepts_")}


@contextmanager
def one_task(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Iterator[None]:
    """Let the callbacks take what happens inside for one task: a solver that has no epochs."""
    if not hasattr(estimator, "_skl_callbacks"):
        yield
        return
    callbacks = SklearnCallbacks(estimator, X, y, sample_weight)
    fit = estimator._init_callback_context(max_subtasks=0)
    fit.call_on_fit_task_begin(**callbacks.data)
    yield
    fit.call_on_fit_task_end(**callbacks.data, reconstruction_attributes=callbacks.fitted)
