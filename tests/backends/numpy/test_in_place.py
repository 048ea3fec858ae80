"""Large weights updated in place: the plain loop's bits, and the epoch's first state as it was."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from xpmlp.backends import NumpyBackend
from xpmlp.backends.numpy import in_place
from xpmlp.nn.optimizers import adam, adamw, clip_gradients, sgd
from xpmlp.nn.tree import tree_map

PLAIN = sgd()
LOOKS_AT_A_NUMBER = PLAIN._replace(
    update=lambda xp, gradients, state, layers, rate: PLAIN.update(xp, gradients, state, layers, float(rate))
)


@pytest.mark.parametrize(
    "optimizer",
    [
        *(PLAIN, sgd(momentum=0.9, nesterov=True), adam(), adamw(weight_decay=0.1)),
        *(clip_gradients(adam(), 0.01), LOOKS_AT_A_NUMBER),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"penalty": 0.1}, {"penalty": 0.1, "dropout": 0.3}])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_in_place_is_the_plain_loops(
    problem: Any, monkeypatch: pytest.MonkeyPatch, optimizer: Any, settings: dict[str, Any], weighted: bool
) -> None:
    monkeypatch.setattr(in_place, "LARGE", 1)
    monkeypatch.setattr(in_place, "TILE", 30)  # elements: a weight is several tiles, the last of them smaller
    settings = settings | {"optimizer": optimizer, "weighted": weighted}
    case = problem(NumpyBackend(), sizes=(11, 7, 3), dtype="float64", **settings)
    before = tree_map(np.copy, case.state)
    tree_map(assert_array_equal, case.epochs(), case.eager_epochs())
    tree_map(assert_array_equal, case.state, before)
