"""A trained network with everything needed to use it."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xpmlp.errors import XpmlpError
from xpmlp.nn.activations import find_activation, of_each_layer
from xpmlp.nn.layers import Layers
from xpmlp.nn.loss_names import LossName, find_loss
from xpmlp.notebooks import html_table
from xpmlp.plots import Picture, draw_weights

from .image_preprocessor import ImagePreprocessor
from .picture_resizer import PictureResizer
from .table_schema import TableSchema

# In place of methods of other libraries' models.
FUNCTIONS = {
    "predict": "predict(model, data).labels",
    "predict_proba": "predict(model, data).probabilities",
    "score": "evaluate(model, data)",
    "evaluate": "evaluate(model, data)",
    "fit": "train(data), which returns a new model",
    "save": "save_model(path, model)",
}

Task = Literal["multiclass", "binary", "multilabel", "regression"]


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Return whether samples are images: height and width, and 3 if they are in color."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)


class ModelError(XpmlpError, ValueError):
    """Fields of a model that do not fit together."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its inputs and outputs.

    The loss, the classes and the number of outputs determine the `task`.

    Attributes
    ----------
    layers
        NumPy arrays, float32 or float64. Those of an ensemble have a leading axis, one network behind the other.
    activation
        A name in `ACTIVATIONS`, or one for each hidden layer, separated by commas.
    loss
        A name in `LOSSES`, or with its numbers and output function as `LossName` writes it.
    classes
        The label of each output; for one output with the loss ``"logistic_cross_entropy"``, the labels of the negative
        and the positive class. Empty for regression.
    input_shape
        Shape of one sample: ``(28, 28)`` for an image, ``(4,)`` for a row of a table.
    input_scale
        Divisor of raw values; 255 for images in bytes.
    image_preprocessor
        How pictures become inputs: as their ink alone, in the format of the training images, or as a whole, resized.
        None if the samples are not images.
    training
        Record of the training: anything that JSON can hold.
    output_names
        Names of a regression's outputs; empty if there are classes.
    table_schema
        Columns of the table and their encoding, scaling included; None if the samples do not come from a table.

    Raises
    ------
    ModelError
        If two fields contradict each other; the message names them.
    """

    layers: Layers
    activation: str
    loss: str
    classes: tuple[int | str, ...]
    input_shape: tuple[int, ...]
    input_scale: float
    image_preprocessor: ImagePreprocessor | PictureResizer | None = None
    training: dict[str, Any] = field(default_factory=dict)
    output_names: tuple[str, ...] = ()
    table_schema: TableSchema | None = None

    def __post_init__(self) -> None:
        """Check that the fields fit together."""
        self._check_layers()
        try:
            find_loss(self.loss)
            of_each_layer(find_activation(self.activation), len(self.layers) - 1)
        except ValueError as error:
            raise ModelError(str(error)) from error
        features = self.layers[0].weight.shape[-2]
        if not self.input_shape or any(size < 1 for size in self.input_shape):
            raise ModelError(f"the input shape {self.input_shape} holds no values")
        if math.prod(self.input_shape) != features:
            raise ModelError(f"the first layer takes {features} values, but the input shape is {self.input_shape}")
        self._check_outputs()
        if not 0.0 < self.input_scale < math.inf:
            raise ModelError(f"the input scale {self.input_scale} is not a number above 0")
        form = self.image_preprocessor
        if form is not None and form.shape != self.input_shape:
            raise ModelError(
                f"images of {'×'.join(map(str, form.shape))} do not have the input shape {self.input_shape}"
            )
        if self.table_schema is not None and self.table_schema.inputs != features:
            raise ModelError(
                f"the first layer takes {features} values, but a row of the table becomes {self.table_schema.inputs}"
            )

    def _check_outputs(self) -> None:
        outputs = self.layers[-1].weight.shape[-1]
        is_classifier = find_loss(self.loss).is_correct is not None
        if self.output_names and (self.classes or is_classifier):
            raise ModelError(f"the outputs have names {self.output_names}, which is only valid for regression")
        if not self.classes and not is_classifier:
            if len(self.output_names) != outputs or len(set(self.output_names)) != outputs:
                raise ModelError(f"the {outputs} outputs need as many different names, found {self.output_names}")
            return
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ModelError(f"the classes {self.classes} are not two or more different labels")
        if len(self.classes) != outputs and self.task != "binary":
            raise ModelError(f"the last layer has {outputs} outputs, but there are {len(self.classes)} classes")

    def _check_layers(self) -> None:
        if not self.layers:
            raise ModelError("there is no layer")
        first, dtype = self.layers[0].weight, self.layers[0].weight.dtype
        models = first.shape[:-2] if first.ndim == 3 else ()
        width = first.shape[-2] if first.ndim in (2, 3) else -1
        if dtype not in (np.float32, np.float64):
            raise ModelError(f"the weights are {dtype}, expected float32 or float64")
        for index, (weight, bias) in enumerate(self.layers):
            if weight.ndim < 2 or 0 in weight.shape or weight.shape[:-1] != (*models, width):
                names = ("inputs", "outputs") if index == 0 else (*models, width, "outputs")
                raise ModelError(
                    f"layer {index}'s weight has shape {weight.shape}, expected ({', '.join(map(str, names))})"
                )
            width = weight.shape[-1]
            if bias.shape != (*models, 1, width):
                raise ModelError(f"layer {index}'s bias has shape {bias.shape}, expected {(*models, 1, width)}")
            if weight.dtype != dtype or bias.dtype != dtype:
                raise ModelError(f"layer {index} is not {dtype} like the first weight")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ModelError(f"layer {index} contains NaN or infinity")

    @property
    def task(self) -> Task:
        """Kind of prediction.

        ``"multiclass"``: one output per class, of which the largest is predicted. ``"binary"``: one output, the
        probability of the second of two classes. ``"multilabel"``: one output per class, its probability independent of
        the others. ``"regression"``: each output is a number.
        """
        if not self.classes:
            return "regression"
        if self.loss != "logistic_cross_entropy":
            return "multiclass"
        is_single = self.layers[-1].weight.shape[-1] == 1 and len(self.classes) == 2
        return "binary" if is_single else "multilabel"

    @property
    def members(self) -> int | None:
        """Number of networks of an ensemble, whose predictions are averaged; None for one network."""
        weight = self.layers[0].weight
        return weight.shape[0] if weight.ndim == 3 else None

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each hidden layer."""
        names = tuple(self.activation.split(","))
        return names if len(names) > 1 else names * (len(self.layers) - 1)

    @property
    def out_activation(self) -> str:
        """The function that makes predictions of the last layer's sums."""
        return LossName.parse(self.loss).out_activation

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of features, units of each hidden layer, outputs."""
        return (self.layers[0].weight.shape[-2], *(layer.weight.shape[-1] for layer in self.layers))

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(array.size for layer in self.layers for array in layer)

    def plot_weights(self, title: str = "") -> Picture:
        """Draw the first layer's weights as images, if the samples are images; see `xpmlp.plots.draw_weights`.

        Of an ensemble, those of the first network.
        """
        if not is_image_shape(self.input_shape):
            raise ModelError("The samples are not images, so the weights cannot be drawn as images.")
        classes = self.classes if len(self.layers) == 1 else ()
        weight = self.layers[0].weight
        if self.members is not None:
            weight, title = weight[0], f"{title}\nThe first of {self.members} networks".strip()
        return draw_weights(weight, self.input_shape, title, classes=classes)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Name the function in place of a method that other libraries' models have."""
            hint = f". Call xpmlp.{FUNCTIONS[name]}" if name in FUNCTIONS else ""
            raise AttributeError(f"'Model' object has no attribute {name!r}{hint}", name=name, obj=self)

    def __repr__(self) -> str:
        """Return what the network is in a line."""
        outputs = f"{len(self.classes)} classes" if self.classes else ", ".join(self.output_names)
        times = "" if self.members is None else f"{self.members} × "
        return f"Model({times}{'-'.join(map(str, self.layer_sizes))}, {self.activation}, {self.task}: {outputs})"

    def _repr_html_(self) -> str:
        units = [*self.activations, self.out_activation]
        layers = [
            (index, *layer.weight.shape[-2:], name, f"{layer.weight.size + layer.bias.size:,}")
            for index, (layer, name) in enumerate(zip(self.layers, units, strict=True), start=1)
        ]
        trained = {"data": self.training.get("data"), "epochs": self.training.get("epochs")}
        accuracy = self.training.get("test_accuracy")
        facts = [f"{name}: {value}" for name, value in trained.items() if value is not None]
        facts += [f"test accuracy: {100 * accuracy:.2f} %"] if isinstance(accuracy, float) else []
        header = ("layer", "inputs", "units", "activation", "parameters")
        caption = "; ".join([f"{self!r}, {self.parameters:,} parameters", *facts])
        return html_table(header, layers, caption)

    @property
    def raw_columns(self) -> TableSchema | None:
        """The table's columns; None if raw samples are arrays to divide by `input_scale`, such as images in a table."""
        schema = self.table_schema
        if schema is None or len(self.input_shape) == 1:
            return schema
        pixels = all(
            (c.kind, c.fill, c.offset, c.scale) == ("number", None, 0, self.input_scale) for c in schema.columns
        )
        return None if pixels else schema
