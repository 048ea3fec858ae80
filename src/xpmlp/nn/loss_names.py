"""Names of losses, with the numbers and the output function that belong to them."""

import functools
from typing import Any, NamedTuple

from jaxtyping import Float

from .activations import ACTIVATIONS, Activation
from .losses import DEFAULT_QUANTILES, LOSSES, Loss, huber, identity, quantile

OUT_ACTIVATIONS = {"softmax_cross_entropy": "softmax", "logistic_cross_entropy": "logistic"}
OUT_ACTIVATIONS |= {"poisson": "exp", "gamma": "exp"}


def with_output(loss: Loss, activation: Activation) -> Loss:
    """Return a loss whose predictions first go through an activation, which may bound them (equation 5f)."""

    def predict(xp: Any, logits: Float[Any, "*models batch outputs"]) -> Float[Any, "*models batch outputs"]:
        return loss.predict(xp, activation.forward(xp, logits))

    def value_and_gradient(
        xp: Any, logits: Float[Any, "*models batch outputs"], targets: Float[Any, "*#models batch targets"]
    ) -> tuple[Float[Any, "*models batch"], Float[Any, "*models batch outputs"]]:
        a = activation.forward(xp, logits)
        values, gradient = loss.value_and_gradient(xp, a, targets)
        return values, activation.backward(xp, logits if activation.from_input else a, gradient)

    return Loss(predict, value_and_gradient, None, of_predictions=loss)


class LossName(NamedTuple):
    """The parts of a loss's name, such as ``"quantile:0.1,0.5,0.9"`` or ``"squared_error of logistic"``.

    Attributes
    ----------
    kind
        A name in `LOSSES`.
    numbers
        The quantiles, or Huber's delta; empty for the default.
    output
        A name in `ACTIVATIONS`, of the function between logits and predictions; ``"identity"`` if there is none.
    """

    kind: str
    numbers: tuple[float, ...] = ()
    output: str = "identity"

    @classmethod
    def parse(cls, text: str) -> "LossName":
        """Return the parts of a name.

        Raises
        ------
        ValueError
            If it is not a loss's name, or has the wrong numbers.
        """
        rest, _, output = text.partition(" of ")
        kind, _, numbers = rest.partition(":")
        if kind not in LOSSES:
            raise ValueError(f"the loss {kind!r} is not one of {', '.join(LOSSES)}")
        try:
            values = tuple(map(float, numbers.split(","))) if numbers else ()
        except ValueError:
            raise ValueError(f"the loss {text!r}: {numbers!r} are not numbers separated by commas") from None
        name = cls(kind, values, output or "identity")
        name.make()
        return name

    def __str__(self) -> str:
        numbers = ":" + ",".join(map(repr, self.numbers)) if self.numbers else ""
        return f"{self.kind}{numbers}" + ("" if self.output == "identity" else f" of {self.output}")

    @property
    def out_activation(self) -> str:
        """The function that makes predictions of the logits, as scikit-learn names it."""
        return OUT_ACTIVATIONS.get(self.kind, self.output)

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles, if the loss is of quantiles; else none."""
        return (self.numbers or DEFAULT_QUANTILES) if self.kind == "quantile" else ()

    def make(self) -> Loss:
        """Return the loss.

        Raises
        ------
        ValueError
            If the parts do not fit together.
        """
        if len(self.numbers) > {"huber": 1, "quantile": len(self.numbers)}.get(self.kind, 0):
            raise ValueError(f"the loss {self.kind} does not take the numbers {self.numbers}")
        if self.output not in ACTIVATIONS:
            raise ValueError(f"the output {self.output!r} is not one of {', '.join(ACTIVATIONS)}")
        loss = LOSSES[self.kind]
        if self.kind == "quantile":
            loss = quantile(*self.levels)
        elif self.kind == "huber":
            loss = huber(*self.numbers)
        if self.output == "identity":
            return loss
        if loss.predict is not identity and self.kind != "quantile":
            raise ValueError(f"the loss {self.kind} has an output function of its own, not {self.output}")
        return with_output(loss, ACTIVATIONS[self.output])


@functools.lru_cache(maxsize=32)
def find_loss(name: str) -> Loss:
    """Return the loss of that name, always the same object; see `LossName` for names with numbers.

    Raises
    ------
    ValueError
        If it is not a loss's name.
    """
    return LOSSES[name] if name in LOSSES else LossName.parse(name).make()
