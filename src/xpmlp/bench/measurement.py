"""What is known of a contender, and of all of them with the same settings, once they were timed."""

from dataclasses import dataclass, field

from .limits import Ceilings, Limits
from .settings import BenchSettings
from .timing import Timing
from .workload import Workload

# Of the largest weight of an array, after all epochs: what is left of float32 and float64 after thousands of steps.
SAME_WEIGHTS = {"float32": 2e-2, "float64": 1e-6}


@dataclass(frozen=True)
class Measurement:
    """How one contender did.

    Attributes
    ----------
    timing
        Of its epochs, but for the first two; None where it failed.
    start_seconds, prepare_seconds, first_seconds
        What comes before: starting the process with its imports, building the network and moving the data, and the
        first epoch, in which libraries compile and record.
    overhead
        What telling the process and hearing from it takes beside an epoch, as a part of it; not in `timing`.
    accuracy
        On the test rows, after all epochs.
    difference
        From NumPy's weights after all epochs, as a part of the largest weight of each array; None for others' networks.
    limits
        Seconds that an epoch takes at least; None where that was not measured.
    peak_bytes
        The most of the host's memory that its process has held with these settings.
    failure
        What went wrong, in a line; None where nothing did.
    """

    name: str
    ours: bool = False
    timing: Timing | None = None
    start_seconds: float | None = None
    prepare_seconds: float | None = None
    first_seconds: float | None = None
    overhead: float | None = None
    accuracy: float | None = None
    difference: float | None = None
    ceilings: Ceilings | None = None
    limits: Limits | None = None
    peak_bytes: int | None = None
    description: dict[str, str] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Point:
    """All contenders with the same settings.

    Attributes
    ----------
    sizes
        Of the network's layers, inputs and outputs included.
    skipped
        Why it was not measured at all; None where it was.
    interrupted
        Whether Ctrl-C ended it before all rounds were over.
    epochs_a_turn
        How many epochs in a row each timing is the mean of: more than one where an epoch is too short to be timed.
    """

    settings: BenchSettings
    workload: str
    rows: int
    sizes: tuple[int, ...]
    measurements: tuple[Measurement, ...] = ()
    skipped: str | None = None
    interrupted: bool = False
    epochs_a_turn: int = 1

    @property
    def timed(self) -> list[Measurement]:
        """Those that have timings."""
        return [measurement for measurement in self.measurements if measurement.timing is not None]

    def find(self, name: str) -> Measurement | None:
        """Return the measurement of a contender that has timings."""
        return next((measurement for measurement in self.timed if measurement.name == name), None)


def point_of(workload: Workload, settings: BenchSettings) -> Point:
    """Return a point that is not measured yet."""
    rows = len(workload.x) if settings.rows is None else settings.rows
    sizes = (workload.x.shape[1], *settings.hidden_layer_sizes, workload.classes)
    return Point(settings, workload.name, rows, sizes)


def describe_point(point: Point) -> str:
    """Return a point's settings in a few words."""
    return f"{'-'.join(map(str, point.sizes))}, batch {point.settings.batch_size}, {point.rows:,} rows"


def trains_alike(measurement: Measurement, dtype: str) -> bool:
    """Tell whether a backend ended with NumPy's weights, as far as its dtype goes; NaN does not."""
    return measurement.difference is None or measurement.difference <= SAME_WEIGHTS[dtype]
