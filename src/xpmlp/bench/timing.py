"""What several timings of the same thing come to."""

import statistics
from dataclasses import dataclass

FEWEST_ROUNDS = 3  # to know a spread
NOISY = 0.10  # of the median between the quartiles: beyond, a difference of a tenth says nothing


@dataclass(frozen=True)
class Timing:
    """Seconds, each of one epoch, in the order in which they were taken."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between them lies the middle half."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third

    @property
    def spread(self) -> float:
        """The distance of the quartiles, as a part of the median."""
        first, third = self.quartiles
        return (third - first) / self.median

    @property
    def has_spread(self) -> bool:
        """Whether there are enough of them to know how they scatter."""
        return len(self.seconds) >= FEWEST_ROUNDS

    @property
    def is_noisy(self) -> bool:
        """Whether the timings scatter too much to conclude from."""
        return self.spread > NOISY
