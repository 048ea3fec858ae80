"""From a dataset and a recipe to a trained model."""

import difflib
import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from xpmlp.backends import Backend, NumpyBackend
from xpmlp.data import DiskSamples
from xpmlp.datasets import ByteSplit, Dataset, Split, TableOptions, class_indices, one_hot
from xpmlp.datasets.memory import available_memory, format_bytes
from xpmlp.errors import SettingsError
from xpmlp.model.image_preprocessor import ImagePreprocessor, measure_images, measured_rows
from xpmlp.model.model import Model, is_image_shape
from xpmlp.model.picture_resizer import PictureResizer
from xpmlp.nn.activations import find_activation
from xpmlp.nn.ensembles import stack_networks
from xpmlp.nn.initializers import INITIALIZERS, init_layers
from xpmlp.nn.layers import Layer
from xpmlp.nn.loss_names import LossName, find_loss
from xpmlp.nn.losses import smooth_targets
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import step_bytes

from .baseline import has_noisy_target
from .callbacks import EarlyStopping
from .checkpoint import Checkpoint
from .distributed import Communicator
from .fit import LOSS_ROWS, fit, spread_rows
from .inputs import as_backend, as_dataset
from .prediction import LEAST_EVIDENCE, STRANGE_FRACTION, evidence
from .progress import make_progress
from .recipes import OTHER_NAMES, RECIPES, Recipe, image_recipe, table_recipe
from .run import Callback, FitResult
from .schedules import SCHEDULES
from .targets import choose_loss, target_scale

LARGER_THAN_CACHES = 2**25  # bytes of inputs in float32: fewer are gathered as quickly


def train(
    data: Any,
    y: Any = None,
    recipe: Recipe | str | None = None,
    *,
    verbose: bool = True,
    backend: Backend | str | None = None,
    callbacks: Sequence[Callback] = (),
    threads: int | None = None,
    communicator: Communicator | Any = None,
    validation_fraction: float | None = None,
    memory: str | int | None = None,
    **options: Any,
) -> tuple[Model, FitResult]:
    """Train a network, evaluating it after every epoch. Ctrl-C ends it and keeps what was learned.

    It is evaluated on the validation rows if the dataset has some (see `Dataset.with_validation`), else on the test
    rows. A regression is trained on targets standardised with the training rows' mean and standard deviation; the
    model and the history's losses are in the target's own units.

    Parameters
    ----------
    data
        A `Dataset`; a dataset's name or a path, as for `load_dataset`; a data frame, or rows with named values (dicts,
        named tuples, dataclasses, a structured array), with the target's name in `target` or `y`; or samples, a row or
        an image each, with their labels or numbers in `y`. Test rows are split off.
    recipe
        The settings, or the name of some of `RECIPES`; `default_recipe` by default. A `Recipe` may also come second,
        after the data.
    verbose
        Whether to show the progress and notes on the data.
    backend
        Where to train: a backend, or its name as for `load_backend`; NumPy by default.
    threads
        Number of threads of the matrix products; see `fit`.
    communicator
        Several processes that train together, such as ``mpi4py.MPI.COMM_WORLD``; see `fit`.
    validation_fraction
        Fraction of the training rows to hold out; the weights of the epoch that is best on them are kept.
    memory
        Memory that the data of a path may take, such as ``"2GB"``; see `load_dataset`.
    **options
        Settings that differ from the recipe's, such as ``epochs=3``, and options of tables, such as
        ``target="price"``; see `Recipe` and `load_dataset`.

    Returns
    -------
    model
        The trained network, ready for `save_model`, `predict` and `evaluate`.
    result
        Its history, and why it ended if that was before the last epoch.

    Raises
    ------
    DivergedError
        If the learning rate is too high; see `fit`.
    """
    if isinstance(y, Recipe):
        y, recipe = None, y
    if not isinstance(callbacks, Sequence):
        raise SettingsError(f"callbacks: expected a list of callbacks, not {callbacks!r}.")
    settings = {field.name for field in fields(Recipe)}
    known = [*settings, *(field.name for field in fields(TableOptions)), "data_dir"]
    for name in options.keys() - set(known):
        close = [OTHER_NAMES[name]] if name in OTHER_NAMES else difflib.get_close_matches(name, known, n=1)
        close = close or [other for other in known if other.startswith(name)]
        raise SettingsError(f"{name}: there is no such option.{f' Did you mean {close[0]}?' if close else ''}")
    changes = {name: options.pop(name) for name in settings & options.keys()}
    dataset = as_dataset(data, y, memory=memory, **options)
    if validation_fraction is not None:
        dataset = dataset.with_validation(validation_fraction)
        if not any(isinstance(callback, EarlyStopping) for callback in callbacks):
            callbacks = (EarlyStopping(None), *callbacks)
    recipe = replace(find_recipe(recipe, dataset), **changes)
    notes = [*dataset.notes, *filter(None, [describe_stream(dataset, recipe, backend)])]
    leads = getattr(communicator, "rank", 0) == 0
    progress = make_progress(notes, can_move=communicator is None) if verbose and leads else None
    callbacks = (*callbacks, progress) if progress else callbacks
    result = fit_dataset(
        dataset, recipe, backend=backend, callbacks=callbacks, threads=threads, communicator=communicator
    )
    if progress and result.interrupted:
        progress.write(f"interrupted; the network of epoch {result.kept_epoch} is kept")
    return make_model(dataset, recipe, result), result


def find_recipe(recipe: Recipe | str | None, dataset: Dataset | None = None) -> Recipe:
    """Return a recipe by its name; the default depends on the dataset."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe is None or (recipe == "default" and dataset is not None):
        return RECIPES["default"] if dataset is None else default_recipe(dataset)
    if recipe not in [*RECIPES]:  # it may not be hashable
        raise SettingsError(f"recipe: {recipe!r} is not one of {', '.join(RECIPES)}.")
    return RECIPES[recipe]


def default_recipe(dataset: Dataset) -> Recipe:
    """Return the default recipe for a dataset: `image_recipe` for images, `table_recipe` for tables."""
    if is_image_shape(dataset.input_shape):
        mean = dataset.train.take(measured_rows(dataset.train.rows, LOSS_ROWS)).x.mean(axis=0)
        return image_recipe(dataset.train_rows, float(mean @ mean))
    if dataset.table_schema is None:
        return RECIPES["default"]
    return table_recipe(dataset.train_rows, is_noisy=has_noisy_target(dataset))


def fit_dataset(
    dataset: Dataset,
    recipe: Recipe,
    *,
    backend: Backend | str | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    threads: int | None = None,
    communicator: Communicator | Any = None,
) -> FitResult:
    """Train as `train` does, and return the result of `fit`; resume from a checkpoint if one is given."""
    backend = as_backend(backend)
    loss = choose_loss(dataset, recipe)
    sizes = layer_sizes(dataset, recipe, loss)
    check_ensemble(recipe, sizes, backend)
    # Drawn in NumPy on every backend, so that one seed gives one network everywhere; (seed, 0) draws what seed does.
    generators = [np.random.default_rng((recipe.seed, member)) for member in range(recipe.ensemble)]
    initializer, dtype = INITIALIZERS[recipe.initializer](), getattr(np, recipe.dtype)
    networks = [init_layers(np, generator, sizes, initializer, dtype=dtype) for generator in generators]
    keys = [int(generator.integers(2**31)) if recipe.dropout else 0 for generator in generators]
    samples: Samples | DiskSamples = make_samples(dataset, dataset.train, recipe, backend)
    # With the targets that the validation and the test rows have, so that the losses can be compared.
    measured = spread_rows(backend, samples, None, LOSS_ROWS)
    if dataset.stream is not None:
        samples = on_disk(dataset, recipe, backend)
    elif recipe.label_smoothing:
        samples = make_samples(dataset, dataset.train, recipe, backend, smooth=True)
    return fit(
        samples,
        layers=stack_networks(np, networks) if recipe.ensemble > 1 else networks[0],
        activation=find_activation(recipe.activation),
        loss=find_loss(str(loss)),
        optimizer=recipe.make_optimizer(),
        schedule=SCHEDULES[recipe.schedule](recipe.learning_rate),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        generator=generators[0],
        l2=recipe.l2,
        dropout=recipe.dropout,
        dropout_key=np.asarray(keys) if recipe.ensemble > 1 else keys[0],
        validation=None if dataset.validation is None else make_samples(dataset, dataset.validation, recipe),
        test=make_samples(dataset, dataset.test, recipe) if dataset.validation is None else None,
        loss_rows=measured or 0,
        weigh_accuracy=False,
        loss_scale=1.0 if dataset.classes else target_scale(dataset, loss).of_loss,
        backend=backend,
        callbacks=callbacks,
        checkpoint=checkpoint,
        threads=threads,
        communicator=communicator,
    )


def layer_sizes(dataset: Dataset, recipe: Recipe, loss: LossName) -> tuple[int, ...]:
    """Return the numbers of inputs, of units of each hidden layer, and of outputs."""
    return (math.prod(dataset.input_shape), *recipe.hidden_layer_sizes, len(dataset.classes) or len(loss.levels) or 1)


def on_disk(dataset: Dataset, recipe: Recipe, backend: Backend) -> DiskSamples:
    """Return the training rows of a stream."""

    def cast(split: Split) -> Samples:
        samples = make_samples(dataset, split, recipe, backend, smooth=True)
        made = samples.map(lambda array: array.astype(recipe.dtype, copy=False))
        return made if samples.divisor is None else made._replace(x=samples.x)

    return DiskSamples(dataset.stream, cast, cast(dataset.train.take(slice(0, 1))))


def describe_stream(dataset: Dataset, recipe: Recipe, backend: Backend | str | None = None) -> str | None:
    """Return that a dataset is streamed, in how many blocks, and why; None if it is not.

    Raises
    ------
    DataError
        If there is too little memory for a batch.
    """
    if dataset.stream is None:
        return None
    disk = on_disk(dataset, recipe, as_backend(backend))
    size, count = disk.block_rows(recipe.batch_size), disk.count_blocks(recipe.batch_size)
    blocks = "1 block" if count == 1 else f"about {count:,} blocks"
    return f"streamed from disk in {blocks} of up to {size:,} rows an epoch: the data take {dataset.why_streamed}"


def check_ensemble(recipe: Recipe, sizes: Sequence[int], backend: Backend) -> None:
    """Refuse an ensemble that does not fit into memory before it is drawn."""
    free = backend.free_memory() or available_memory()
    if recipe.ensemble == 1 or free is None:
        return
    number, shapes = np.zeros((), recipe.dtype), itertools.pairwise(sizes)
    layers = tuple(Layer(np.broadcast_to(number, shape), np.broadcast_to(number, (1, shape[1]))) for shape in shapes)
    network, row = step_bytes(layers)
    of_each = network + recipe.batch_size * row
    if recipe.ensemble * of_each > free:
        raise SettingsError(
            f"ensemble: training {recipe.ensemble:,} networks takes about {format_bytes(recipe.ensemble * of_each)} of "
            f"memory, but {format_bytes(free)} are free: {max(free // of_each, 1):,} fit. Use fewer, or smaller hidden "
            "layers."
        )


def class_weights(dataset: Dataset) -> Float64[np.ndarray, " classes"]:
    """Return weights with which all classes weigh the same, and the training rows 1 on average."""
    if not dataset.classes:
        raise SettingsError("class_weight: balanced is for classes, but a number is predicted here. Leave it out.")
    if dataset.stream is not None:
        counts = np.asarray([dataset.stream.labels[label] for label in dataset.classes])
    else:
        counts = np.bincount(class_indices(dataset.train.labels, dataset.classes), minlength=len(dataset.classes))
    weights: Float64[np.ndarray, " classes"] = counts.sum() / np.maximum(counts * np.count_nonzero(counts), 1)
    return weights


def make_samples(
    dataset: Dataset,
    split: Split,
    recipe: Recipe = RECIPES["default"],
    backend: Backend | None = None,
    *,
    smooth: bool = False,
) -> Samples:
    """Return rows with one-hot or standardised targets, and with the weights of their classes.

    With `smooth`, a share of each label is spread over all classes, as the recipe says. Many inputs that are stored as
    bytes stay bytes until a batch is gathered, if the backend that trains can do that.
    """
    weights = None
    if recipe.class_weight == "balanced":
        weights = class_weights(dataset)[class_indices(split.labels, dataset.classes)].astype(np.float32)
    if dataset.classes:
        targets: Any = one_hot(split.labels, dataset.classes)
        if smooth and recipe.label_smoothing:
            targets = smooth_targets(targets, recipe.label_smoothing, len(dataset.classes))
    else:
        center, spread = target_scale(dataset, choose_loss(dataset, recipe))[:2]
        targets = ((split.labels[:, None] - center) / spread).astype(np.float64)
    as_bytes = backend is not None and backend.gathers_bytes and recipe.dtype == "float32"
    is_streamed = dataset.stream is not None
    if as_bytes and isinstance(split, ByteSplit) and (is_streamed or 4 * split.stored.size > LARGER_THAN_CACHES):
        return Samples(split.stored, targets, weights, split.divisor)
    return Samples(split.x, targets, weights)


def make_model(dataset: Dataset, recipe: Recipe, result: FitResult) -> Model:
    """Return a model: the trained network with what the dataset says of its inputs and classes."""
    form: ImagePreprocessor | PictureResizer | None = dataset.resizer
    if form is None and is_image_shape(dataset.input_shape):
        measured = dataset.train.take(measured_rows(dataset.train.rows))
        form = measure_images(measured.x, dataset.input_shape)
    training: dict[str, Any] = {
        "data": dataset.name,
        "source": dataset.source,
        "recipe": recipe.to_json(),
        "epochs": len(result.history),
        "kept_epoch": result.kept_epoch,
    }
    if 0 < result.kept_epoch <= len(result.history):
        accuracy = result.history[result.kept_epoch - 1].test_accuracy
        training |= {} if accuracy is None else {"test_accuracy": accuracy}
    if dataset.provenance is not None:
        training["provenance"] = asdict(dataset.provenance)
    if dataset.split is not None:
        training["split"] = dataset.split
    if dataset.validation is not None:
        training["validation_rows"] = dataset.validation_rows
    layers, output_names, loss = result.layers, tuple[str, ...](), choose_loss(dataset, recipe)
    if not dataset.classes:
        scale = target_scale(dataset, loss)
        layers = (*layers[:-1], scale.undo(layers[-1]))
        name = (dataset.table_schema and dataset.table_schema.target) or "prediction"
        output_names = tuple(f"{name}_q{100 * level:g}" for level in loss.levels) or (name,)
        if loss.kind == "huber":
            loss = loss._replace(numbers=((loss.numbers or (1.0,))[0] * scale.spread,))
    model = Model(
        layers=layers,
        activation=recipe.activation,
        loss=str(loss),
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        input_scale=dataset.input_scale,
        image_preprocessor=form,
        training=training,
        output_names=output_names,
        table_schema=dataset.table_schema,
    )
    if form is not None and dataset.classes:
        known = dataset.validation or dataset.train
        known = known.take(measured_rows(known.rows))
        least = float(np.quantile(evidence(model, known.x, NumpyBackend()), STRANGE_FRACTION))
        if math.isfinite(least):
            model.training[LEAST_EVIDENCE] = least
    return model
