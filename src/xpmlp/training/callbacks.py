"""What may be done besides training: the one way to add behaviour to a run."""

from typing import TYPE_CHECKING

from xpmlp.errors import SettingsError
from xpmlp.nn.step import TrainingState
from xpmlp.nn.tree import tree_map

from .checkpoint import Kept

if TYPE_CHECKING:
    from .fit import Run


class Callback:
    """Something that `fit` calls as it goes. Override what you need; each is handed the run, as it stands."""

    def on_fit_start(self, run: "Run") -> None:
        """Act before the first epoch."""

    def on_epoch_end(self, run: "Run") -> None:
        """Act after an epoch, its row being the last of ``run.history``. ``run.stop(reason)`` makes it the last."""

    def on_fit_end(self, run: "Run") -> None:
        """Act when it is over, however it ended. ``run.state`` is what will be returned, and may be replaced."""

    def keep(self, run: "Run") -> Kept | None:
        """Return what a checkpoint must hold for this callback to go on from it; by default nothing."""
        return None

    def restore(self, run: "Run", kept: Kept) -> None:
        """Go on from what `keep` returned. Called after `on_fit_start`."""


class EarlyStopping(Callback):
    """Stop when the validation loss has not become smaller for some epochs, and go back to the best weights.

    Parameters
    ----------
    patience
        Epochs without improvement that are borne; at least 1.
    min_delta
        How much smaller a loss must be to count as an improvement.

    Attributes
    ----------
    last_state
        Weights and optimizer state after the last epoch; None as long as it goes on, or where the last is the best.
    """

    last_state: TrainingState | None = None

    def __init__(self, patience: int = 5, *, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise SettingsError(f"patience is {patience}; it must be at least 1 epoch.")
        self.patience = patience
        self.min_delta = min_delta

    def on_fit_start(self, run: "Run") -> None:
        """Forget an earlier run."""
        if run.validation is None:
            raise SettingsError("Early stopping watches the validation loss; give validation samples.")
        self.last_state = None
        self.best_loss = float("inf")
        self.best_epoch = 0
        self.best_state = run.state

    def on_epoch_end(self, run: "Run") -> None:
        """Remember the best epoch; stop when it is too long ago."""
        row = run.history[-1]
        assert row.test_loss is not None  # there are validation rows: on_fit_start saw them
        if row.test_loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self.best_state = row.test_loss, row.epoch, run.state
        self.stop_if_long_ago(run)

    def stop_if_long_ago(self, run: "Run") -> None:
        """Stop when the best epoch is too long ago."""
        if len(run.history) - self.best_epoch >= self.patience:
            run.stop(f"no lower loss for {self.patience} epoch{'s' if self.patience > 1 else ''}")

    def keep(self, run: "Run") -> Kept | None:
        """Keep the best epoch and its weights."""
        best = tree_map(run.backend.to_numpy, self.best_state.layers)
        return Kept({"best_loss": self.best_loss, "best_epoch": self.best_epoch}, best) if self.best_epoch else None

    def restore(self, run: "Run", kept: Kept) -> None:
        """Remember the best epoch again."""
        assert kept.layers is not None
        self.best_loss, self.best_epoch = kept.values["best_loss"], kept.values["best_epoch"]
        self.best_state = run.state._replace(layers=tree_map(run.backend.asarray, kept.layers))
        self.stop_if_long_ago(run)  # where the run was over already

    def on_fit_end(self, run: "Run") -> None:
        """Go back to the best weights, which exist once an epoch is over."""
        if self.best_epoch > 0:
            if self.best_epoch < len(run.history):
                self.last_state = run.state
            run.state, run.kept_epoch = self.best_state, self.best_epoch
