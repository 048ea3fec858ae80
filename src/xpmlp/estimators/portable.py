"""Estimators that leave the process: to and from files, pickles, and scikit-learn's own."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from xpmlp.backends import load_backend
from xpmlp.errors import BackendError, MissingDependencyError, SettingsError
from xpmlp.model.model_file import save_model
from xpmlp.nn.tree import tree_map

from .arrays import backend_of, is_numpy, to_host
from .conversion import convert_from_sklearn, read_estimator, to_model

Estimator = TypeVar("Estimator", bound="PortableMixin")  # not Self: beartype supports that on whole classes only


class PortableMixin(BaseEstimator):
    """Saves and restores a fitted network."""

    coefs_: list[Any]
    intercepts_: list[Any]
    _layers: Any
    _keep: Any
    communicator: Any

    @classmethod
    def from_sklearn(cls: type[Estimator], estimator: Any, **settings: Any) -> Estimator:
        """Copy a fitted scikit-learn MLP: it predicts the same, and ``partial_fit`` continues its training.

        `settings` are further parameters, such as ``backend="torch"``.
        """
        return cast(Estimator, convert_from_sklearn(cls, estimator, **settings))

    def to_file(self, path: str | Path) -> None:
        """Write the fitted network to a model file, which ``xpmlp evaluate``, ``predict`` and ``inspect`` read too.

        The loss curve, the feature names and the parameters are saved, except for parameters that are objects (a
        random generator, a dict, callbacks) or infinite. The optimizer's state is not saved.
        """
        check_is_fitted(self)
        save_model(Path(path), to_model(self))

    @classmethod
    def from_file(cls: type[Estimator], path: str | Path, **settings: Any) -> Estimator:
        """Read an estimator from a model file written by `to_file` or ``xpmlp train``.

        `settings` are further parameters, such as ``backend="torch"``.
        """
        return cast(Estimator, read_estimator(cls, path, **settings))

    def __sklearn_clone__(self: Estimator) -> Estimator:
        """Return an unfitted estimator with the same communicator, of which there is no copy."""
        if self.communicator is None:
            return cast(Estimator, super().__sklearn_clone__())
        clone = BaseEstimator.__sklearn_clone__(copy.copy(self))
        return cast(Estimator, clone.set_params(communicator=self.communicator))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: all arrays as NumPy's, and the name of their backend and device."""
        state: dict[str, Any] = dict(super().__getstate__())
        state["communicator"] = None  # of running processes only
        if "coefs_" not in state:
            return state
        source = backend_of(self.coefs_[0])
        if state.get("_optimizer_state") is not None:
            state["_optimizer_state"] = tree_map(to_host, state["_optimizer_state"])
        if not is_numpy(source):
            state["coefs_"] = [to_host(array) for array in self.coefs_]
            state["intercepts_"] = [to_host(array) for array in self.intercepts_]
            state["_place"] = (source.name, source.device_name)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore a pickled state on its backend and device if they are available, else on NumPy."""
        values = dict(state)
        place = values.pop("_place", None)
        super().__setstate__(values)
        if place is None:
            return
        try:
            target = load_backend(*place)
        except (MissingDependencyError, BackendError, SettingsError):
            return
        self._keep(self._layers(target), target, target)
