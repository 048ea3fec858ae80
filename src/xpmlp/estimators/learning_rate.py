"""How the learning rate goes over the epochs, as scikit-learn has it."""

from dataclasses import dataclass

LOWEST = 1e-6  # an adaptive rate that has fallen to here or below is not lowered again


@dataclass
class LearningRate:
    """A schedule, as `fit` takes one, that has one rate for all steps of an epoch and changes it between epochs.

    Attributes
    ----------
    kind
        ``"constant"``; ``"invscaling"``, which falls with the samples seen; or ``"adaptive"``, which is divided by 5
        where training would otherwise end.
    initial
        The rate to begin with.
    power
        Of the samples seen, in ``"invscaling"``.
    current
        The rate of the epoch that comes next.
    """

    kind: str
    initial: float
    power: float
    current: float

    def __call__(self, step: int, steps: int) -> float:
        """Return the present rate, whatever the step."""
        return self.current

    def end_epoch(self, samples_seen: int) -> None:
        """Let the rate go on, given the samples seen since the very first epoch."""
        if self.kind == "invscaling":
            self.current = self.initial / (samples_seen + 1) ** self.power

    def lower(self) -> bool:
        """Lower the rate where training would otherwise end, and tell whether that could be done."""
        if self.kind != "adaptive" or self.current <= LOWEST:
            return False
        self.current /= 5.0
        return True
