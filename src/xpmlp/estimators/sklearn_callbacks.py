"""scikit-learn's own callbacks, such as its ProgressBar and ScoringMonitor: every epoch is one of their tasks."""

from typing import Any

from xpmlp.training import Callback, Run

from .problem import GivenRows


class SklearnCallbacks(Callback):
    """Calls the callbacks that were set with ``set_callbacks``, or by a meta-estimator.

    For a solver without epochs, the whole fit is one task, from `begin` to `end`.
    """

    epoch: Any = None

    def __init__(self, estimator: Any, given: GivenRows) -> None:
        self.estimator = estimator
        metadata = None if given.sample_weight is None else {"sample_weight": given.sample_weight}
        self.data = {"estimator": estimator, "X": given.X, "y": given.y, "metadata": metadata}

    def begin(self, epochs: int = 0) -> None:
        """Begin the fit."""
        self.fit = self.estimator._init_callback_context(max_subtasks=epochs)
        self.fit.call_on_fit_task_begin(**self.data)

    def on_fit_start(self, run: Run) -> None:
        """Begin the fit, and its first epoch."""
        self.begin(run.epochs)
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

    def end(self, run: Run | None = None) -> None:
        """End the fit."""
        if self.epoch is not None:  # interrupted
            self.epoch.call_on_fit_task_end(estimator=self.estimator)
        self.fit.call_on_fit_task_end(**self.data, reconstruction_attributes=self.fitted)

    on_fit_end = end

    def fitted(self) -> dict[str, Any]:
        """Return the attributes of an estimator that was trained so far."""
        return {name: list(getattr(self.estimator, name)) for name in ("coefs_", "intercepts_")}
