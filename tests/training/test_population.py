"""Members of a population against the same networks trained alone."""

import functools
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest
from sklearn.metrics import r2_score
from threadpoolctl import ThreadpoolController

from xpmlp.backends import Backend, NumpyBackend, load_backend, usable_backends
from xpmlp.errors import SettingsError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import glorot_uniform, init_layers
from xpmlp.nn.loss_names import find_loss
from xpmlp.nn.network import forward
from xpmlp.nn.optimizers import adam, adamw, sgd
from xpmlp.nn.samples import Samples
from xpmlp.training import Callback, FitResult, Run, constant, fit, warmup_cosine
from xpmlp.training.population import Member, Rows, train_population, train_widths, widths, with_largest_norm
from xpmlp.training.population.member import arrange

BATCH = 16
REGRESSION = ("squared_error", "huber:0.5")
nesterov = functools.partial(sgd, nesterov=True)


class StopAt(Callback):
    """Stops a run after an epoch, and restores the weights of another."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.kept: Any = None

    def on_epoch_end(self, run: Run) -> None:
        if len(run.history) == 2:
            self.kept = run.state.layers
        if len(run.history) == self.epoch:
            run.stop("enough")

    def on_fit_end(self, run: Run) -> None:
        if self.epoch == 4:
            run.state = run.state._replace(layers=self.kept)


def stop_at(epoch: int, member: Member) -> None:
    """Do the same to a member."""
    if len(member.history) == 2 and epoch == 4:
        member.keep()
    if len(member.history) == epoch:
        member.stop("enough")


@functools.cache
def samples(regression: bool = False) -> Samples:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(90, 5))
    y = x @ generator.normal(size=(5, 3))
    targets = y if regression else np.eye(3)[np.argmax(y, axis=1)]
    return Samples(x, targets, generator.uniform(0.5, 1.5, 90))


def draw(seed: int, units: int = 7) -> Any:
    generator = np.random.default_rng(seed)
    return init_layers(array_api_compat.numpy, generator, (5, units, 3), glorot_uniform(), dtype=np.float64)


def make_members(settings: list[dict[str, float]], dropout: float = 0.0) -> list[Member]:
    """Twelve networks that differ in everything in which members may differ: four on each of three folds."""
    index = np.arange(90)
    folds = [
        Rows(index[index % 3 != fold][fold:], np.random.default_rng(fold), index[index % 3 == fold])
        for fold in range(3)
    ]
    schedules = [constant(0.05), constant(0.01), warmup_cosine(0.03), constant(0.02)]
    return [
        Member(
            layers=draw(number),
            rows=folds[number % 3],
            schedule=schedules[number % 4],
            epochs=7 if number % 2 else 6,
            optimizer=settings[number % len(settings)],
            l2=0.01 * (number % 5),
            dropout=dropout * (number % 2),
            dropout_key=100 * number,
            on_epoch_end=functools.partial(stop_at, 1 + number % 5),
        )
        for number in range(12)
    ]


def train_alone(member: Member, number: int, data: Samples, optimizer: Any, loss: str, units: int = 7) -> FitResult:
    validation = data.map(lambda array: array[member.rows.validation])
    return fit(
        data,
        layers=draw(number, units),
        activation=ACTIVATIONS["mish" if loss == "huber:0.5" else "tanh"],
        loss=find_loss(loss),
        optimizer=optimizer(**member.optimizer),
        schedule=member.schedule,
        epochs=member.epochs,
        batch_size=BATCH,
        generator=np.random.default_rng(number % 3),
        rows=member.rows.train,
        l2=member.l2,
        dropout=member.dropout,
        dropout_key=member.dropout_key,
        validation=validation,
        callbacks=[StopAt(1 + number % 5)],
    )


def train(
    members: list[Member], data: Samples, optimizer: Any, loss: str, backend: Backend, how: Any = None, **settings: Any
) -> None:
    (how or train_population)(
        data,
        members,
        activation=ACTIVATIONS["mish" if loss == "huber:0.5" else "tanh"],
        loss=find_loss(loss),
        optimizer=optimizer,
        batch_size=BATCH,
        backend=backend,
        **settings,
    )


MOMENTA: list[dict[str, float]] = [{"momentum": momentum} for momentum in (0.0, 0.5, 0.9)]
BETAS: list[dict[str, float]] = [
    {"beta_1": b, "beta_2": 1 - (1 - b) ** 3, "epsilon": e} for b, e in ((0.9, 1e-8), (0.8, 1e-6))
]


DECAYS: list[dict[str, float]] = [
    {"weight_decay": decay, "beta_1": beta, "max_grad_norm": norm}
    for decay, beta, norm in ((0.01, 0.9, 0.1), (0.3, 0.8, 2.0))
]
CASES: dict[str, tuple[Any, list[dict[str, float]], str, float]] = {
    "momenta": (nesterov, MOMENTA, "softmax_cross_entropy", 0.0),
    "betas": (adam, BETAS, "squared_error", 0.0),
    "dropout": (adam, BETAS[:1], "softmax_cross_entropy", 0.3),
    "decays and short gradients": (with_largest_norm(adamw), DECAYS, "huber:0.5", 0.0),
}


@functools.cache
def trained_alone(case: str) -> list[FitResult]:
    optimizer, settings, loss, dropout = CASES[case]
    data = samples(loss in REGRESSION)
    members = make_members(settings, dropout)
    return [train_alone(member, number, data, optimizer, loss) for number, member in enumerate(members)]


def assert_equal(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    for layer, expected_layer in zip(found, expected, strict=True):
        np.testing.assert_allclose(layer.weight, expected_layer.weight, rtol=0, atol=tolerance)
        np.testing.assert_allclose(layer.bias, expected_layer.bias, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("backend_name", "case"),
    [
        *(pytest.param(name, case) for name in ("numpy", "torch") for case in CASES),
        *(pytest.param(name, case, marks=pytest.mark.slow) for name in ("jax", "cupy") for case in CASES),
    ],
)
def test_every_member_equals_the_same_network_trained_alone(backend_name: str, case: str) -> None:
    if backend_name != "numpy":
        pytest.importorskip(backend_name)
    if backend_name not in usable_backends():
        pytest.skip(f"{backend_name} finds no device")
    optimizer, settings, loss, dropout = CASES[case]
    members = make_members(settings, dropout)
    backend = load_backend(backend_name, None if backend_name == "cupy" else "cpu")
    train(members, samples(loss in REGRESSION), optimizer, loss, backend)
    for member, alone in zip(members, trained_alone(case), strict=True):
        assert_equal(member.layers, alone.layers)
        assert member.stop_reason == alone.stop_reason
        assert [row.learning_rate for row in member.history] == [row.learning_rate for row in alone.history]
        for name in ("objective", "validation_loss", "validation_accuracy"):
            found, expected = ([getattr(row, name) for row in history] for history in (member.history, alone.history))
            assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_members_of_several_widths_are_trained_together_like_alone(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, settings, loss, dropout = CASES[case]
    data = samples(loss in REGRESSION)
    calls: list[set[Any]] = []

    units = (7, 4, 1)

    def make() -> list[Member]:
        members = make_members(settings, dropout)
        for number, member in enumerate(members):
            member.layers = draw(number, units[number // 4])
        return members

    def train_padded(data: Any, members: Any, **settings: Any) -> None:
        calls.append({member.layers[0].weight.shape for member in members})
        train_population(data, members, **settings)

    monkeypatch.setattr(widths, "train_population", train_padded)
    members = make()
    train(members, data, optimizer, loss, NumpyBackend(), train_widths)
    assert calls == [{(5, 7)}]
    for number, (member, of_alone) in enumerate(zip(members, make(), strict=True)):
        alone = train_alone(of_alone, number, data, optimizer, loss, units[number // 4])
        assert_equal(member.layers, alone.layers)
        assert member.state is not None
        momenta = [tree for tree in member.state.optimizer if isinstance(tree, tuple)]
        assert {widths.shapes_of(tree) for tree in momenta} == {widths.shapes_of(alone.layers)}


def test_widths_are_padded_only_where_that_is_quicker() -> None:
    def units(counts: dict[int, int]) -> list[list[int]]:
        members = [
            Member(draw(0, width), make_members(MOMENTA)[0].rows, constant(0.1), 1)
            for width in counts
            for _ in range(counts[width])
        ]
        groups = [[member.layers[0].bias.shape[1] for member in group] for _, group in widths.group_widths(members, 32)]
        return [sorted(set(group)) for group in groups]

    assert units({8: 5, 24: 5, 16: 5}) == [[8, 16, 24]]
    assert units({8: 5, 16: 5, 512: 5}) == [[512], [8, 16]]
    assert units({8: 200, 24: 200}) == [[24], [8]]


def test_units_whose_output_without_weights_is_not_0_are_not_padded() -> None:
    for name, function in ACTIVATIONS.items():
        same = widths.architecture(draw(0, 7), function) == widths.architecture(draw(0, 4), function)
        assert same == (name not in ("logistic", "softplus"))


@pytest.mark.parametrize(
    "settings",
    [
        {"models_at_once": 12, "compact_below": 0.0},
        {"models_at_once": 12, "compact_below": 1.0},
        {"models_at_once": 1},
        {"models_at_once": 5},
        {},
    ],
)
def test_how_a_population_is_divided_does_not_change_its_members(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpmlp.training.population.train.COMPACT_BELOW", settings.pop("compact_below", 0.75))
    members = make_members(MOMENTA)
    alone = dict(enumerate(trained_alone("momenta")))
    if not settings:  # one diverges, and two have rows that differ from the others' by more than a batch
        members[4].schedule, members[4].on_epoch_end = constant(1e200), None
        for number in (0, 1):
            rows = members[number].rows
            members[number].rows = Rows(rows.train[:40], np.random.default_rng(number), rows.validation)
            alone[number] = train_alone(members[number], number, samples(), nesterov, "softmax_cross_entropy")
    train(members, samples(), nesterov, "softmax_cross_entropy", NumpyBackend(), **settings)
    assert [number for number, member in enumerate(members) if member.diverged] == ([] if settings else [4])
    for number, member in enumerate(members):
        assert_equal(member.layers, draw(4) if member.diverged else alone[number].layers)


def test_r2_is_scikit_learns() -> None:
    data = samples(regression=True)
    members = make_members(BETAS)
    train(members, data, adam, "squared_error", NumpyBackend())
    for member in members:
        if member.kept_epoch == len(member.history):
            x, targets, weight = (array[member.rows.validation] for array in data.arrays)
            predictions = forward(array_api_compat.numpy, member.layers, x, ACTIVATIONS["tanh"])[1]
            assert member.score == pytest.approx(r2_score(targets, predictions, sample_weight=weight), abs=1e-12)


def test_matrix_products_have_their_threads_again_after_populations_in_several() -> None:
    pools = ThreadpoolController().select(user_api="blas")
    shared = Rows(np.arange(90), np.random.default_rng(0))
    layers = init_layers(array_api_compat.numpy, np.random.default_rng(0), (5, 128, 3), glorot_uniform(), dtype=float)
    with pools.limit(limits=2):
        for _ in range(5):
            members = [Member(layers, shared, constant(0.01), epochs=1) for _ in range(40)]
            train(members, samples(), nesterov, "softmax_cross_entropy", NumpyBackend(), models_at_once=20)
            assert {pool["num_threads"] for pool in pools.info()} == {2}


def test_members_that_do_not_belong_together_and_an_error_of_a_callback_end_the_population() -> None:
    unlike, broken = make_members(MOMENTA), make_members(MOMENTA)
    unlike[3].layers = unlike[3].layers[:1]
    broken[7].on_epoch_end = lambda member: member.stop(str(1 / 0))
    errors: list[Any] = [(SettingsError, "same layers; there are 2 kinds"), (ZeroDivisionError, "division")]
    for members, (error, message) in zip((unlike, broken), errors, strict=True):
        with pytest.raises(error, match=message):
            train(members, samples(), nesterov, "softmax_cross_entropy", NumpyBackend(), models_at_once=5)


def test_members_share_a_row_with_those_that_share_their_batches() -> None:
    members = make_members(MOMENTA)
    assert [[members.index(member) for member in row] for row in arrange(members)[0]] == [
        [0, 3, 6, 9],
        [1, 4, 7, 10],
        [2, 5, 8, 11],
    ]
    few = [members[number] for number in (0, 3, 6, 9, 1, 2)]
    (rows,) = arrange(few)
    assert {id(member) for row in rows for member in row} == set(map(id, few))
    assert all(len({id(member.rows) for member in row}) == 1 for row in rows)
    assert sum(map(len, rows)) < 12
