"""A trained network together with all that is needed to use it."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from xpmlp.errors import XpmlpError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Layers
from xpmlp.nn.losses import LOSSES

from .image_preprocessor import ImagePreprocessor
from .table_schema import TableSchema

Task = Literal["multiclass", "binary", "multilabel", "regression"]


class ModelError(XpmlpError, ValueError):
    """The parts of a model do not fit together."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network, what goes into it, and what comes out.

    What comes out is told by the loss, the classes and the number of outputs; see `task`.

    Attributes
    ----------
    layers
        NumPy arrays, float32 or float64.
    activation
        A name out of `ACTIVATIONS`.
    loss
        A name out of `LOSSES`.
    classes
        What each output stands for, in order; with one output and the loss ``"logistic_cross_entropy"``, the class of
        a no and the class of a yes. Empty for regression.
    input_shape
        Of one sample: ``(28, 28)`` for an image, ``(4,)`` for a row of a table.
    input_scale
        What raw values are divided by before the network sees them; 255 for images in bytes.
    image_preprocessor
        How a picture is brought to the form of the training images; None where the samples are no images.
    training
        How the network was trained, for the record: anything that JSON can hold.
    output_names
        What each output of a regression is called; none where there are classes.
    table_schema
        How a row of a table becomes the network's input, its scaling included; None where the samples come from no
        table.

    Raises
    ------
    ModelError
        Naming the two parts that contradict each other.
    """

    layers: Layers
    activation: str
    loss: str
    classes: tuple[int | str, ...]
    input_shape: tuple[int, ...]
    input_scale: float
    image_preprocessor: ImagePreprocessor | None = None
    training: dict[str, Any] = field(default_factory=dict)
    output_names: tuple[str, ...] = ()
    table_schema: TableSchema | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for name, value, choices in (
            ("activation", self.activation, ACTIVATIONS),
            ("loss", self.loss, LOSSES),
        ):
            if value not in choices:
                raise ModelError(f"the {name} {value!r} is not one of {', '.join(choices)}")
        self._check_layers()
        features = self.layers[0].weight.shape[0]
        if not self.input_shape or any(size < 1 for size in self.input_shape):
            raise ModelError(f"the input shape {self.input_shape} holds no values")
        if math.prod(self.input_shape) != features:
            raise ModelError(f"the first layer takes {features} values, but the input shape is {self.input_shape}")
        self._check_outputs()
        if not 0.0 < self.input_scale < math.inf:
            raise ModelError(f"the input scale {self.input_scale} is not a number above 0")
        form = self.image_preprocessor
        if form is not None and (form.height, form.width) != self.input_shape:
            raise ModelError(f"images of {form.height}×{form.width} do not have the input shape {self.input_shape}")

        if self.table_schema is not None and self.table_schema.inputs != features:
            raise ModelError(
                f"the first layer takes {features} values, but a row of the table becomes {self.table_schema.inputs}"
            )

    def _check_outputs(self) -> None:
        outputs = self.layers[-1].weight.shape[1]
        tells_classes = LOSSES[self.loss].is_correct is not None
        if self.output_names and (self.classes or tells_classes):
            raise ModelError(f"the outputs have the names {self.output_names}, which only those of a regression have")
        if not self.classes and not tells_classes:
            if len(self.output_names) != outputs or len(set(self.output_names)) != outputs:
                raise ModelError(f"the {outputs} outputs do not each have a name of their own in {self.output_names}")
            return
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ModelError(f"the classes {self.classes} are not two or more different labels")
        if len(self.classes) != outputs and self.task != "binary":
            raise ModelError(f"the last layer has {outputs} outputs, but there are {len(self.classes)} classes")

    def _check_layers(self) -> None:
        if not self.layers:
            raise ModelError("there is no layer")
        width = self.layers[0].weight.shape[0] if self.layers[0].weight.ndim == 2 else -1
        dtype = self.layers[0].weight.dtype
        if dtype not in (np.float32, np.float64):
            raise ModelError(f"the weights are {dtype}, neither float32 nor float64")
        for index, (weight, bias) in enumerate(self.layers):
            if weight.ndim != 2 or 0 in weight.shape or weight.shape[0] != width:
                expected = "(inputs, outputs)" if index == 0 else f"({width}, outputs)"
                raise ModelError(f"layer {index}'s weight has shape {weight.shape}, expected {expected}")
            width = weight.shape[1]
            if bias.shape != (1, width):
                raise ModelError(f"layer {index}'s bias has shape {bias.shape}, expected {(1, width)}")
            if weight.dtype != dtype or bias.dtype != dtype:
                raise ModelError(f"layer {index} is not {dtype} as the first weight is")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ModelError(f"layer {index} holds a NaN or an infinity")

    @property
    def task(self) -> Task:
        """What the network does.

        ``"multiclass"``: each output is a class, and the largest is the answer. ``"binary"``: one output, the
        probability of the second of two classes. ``"multilabel"``: each output is the probability of a class that may
        be there or not, whatever the others. ``"regression"``: each output is a number.
        """
        if not self.classes:
            return "regression"
        if self.loss != "logistic_cross_entropy":
            return "multiclass"
        is_single = self.layers[-1].weight.shape[1] == 1 and len(self.classes) == 2
        return "binary" if is_single else "multilabel"

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Features, the size of each hidden layer, outputs."""
        return (self.layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in self.layers))
