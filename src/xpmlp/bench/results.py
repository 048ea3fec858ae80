"""Benchmark results, and the JSON file that holds them."""

import json
import statistics
from pathlib import Path
from typing import Any

import msgspec

from xpmlp.errors import DataError
from xpmlp.whole_files import read_whole

from .settings import SWEPT, BenchSettings

FORMAT = "xpmlp benchmark"
FORMAT_VERSION = 1
MIN_ROUNDS = 3  # to know the spread
NOISY = 0.10  # interquartile range, as a fraction of the median
WEIGHT_TOLERANCE = {"float32": 2e-2, "float64": 1e-6}  # rounding errors that thousands of steps add up to


class Timing(msgspec.Struct, frozen=True):
    """Seconds per epoch, in the order measured."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The bounds of the middle half."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third

    @property
    def has_spread(self) -> bool:
        """Whether there are enough rounds to know the spread."""
        return len(self.seconds) >= MIN_ROUNDS

    @property
    def is_noisy(self) -> bool:
        """Whether the spread is too large to compare medians."""
        first, third = self.quartiles
        return third - first > NOISY * self.median

    def overlaps(self, other: "Timing") -> bool:
        """Return whether the middle halves of two timings overlap."""
        return self.quartiles[0] <= other.quartiles[1] and other.quartiles[0] <= self.quartiles[1]


class Measurement(msgspec.Struct, frozen=True):
    """One candidate's result in one case; what could not be measured is None."""

    name: str
    ours: bool = False  # whether it is one of our backends
    timing: Timing | None = None  # without the two warm-up epochs
    start_seconds: float | None = None  # to start its process
    prepare_seconds: float | None = None  # to build the network and move the data
    first_seconds: float | None = None  # of the first epoch, in which libraries compile
    accuracy: float | None = None  # on the test rows, after all epochs
    difference: float | None = None  # the largest from NumPy's weights, relative to the largest weight of each array
    peak_bytes: int | None = None  # host memory of its process
    description: dict[str, str] = {}  # library, device, threads and versions
    failure: str | None = None  # the error, in one line

    @property
    def median(self) -> float:
        """Median seconds per epoch of a measurement that has a timing."""
        assert self.timing is not None
        return self.timing.median


class Case(msgspec.Struct, frozen=True):
    """All candidates with the same settings and data."""

    settings: BenchSettings
    workload: str
    rows: int
    sizes: tuple[int, ...]  # units of each layer, inputs and outputs included
    measurements: tuple[Measurement, ...] = ()
    skipped: str | None = None  # why it was not measured
    interrupted: bool = False  # whether Ctrl-C ended it early
    # Each timing is a mean over this many epochs: several if one is too short to time.
    epochs_per_timing: int = msgspec.field(default=1, name="epochs_a_turn")

    @property
    def timed(self) -> list[Measurement]:
        """The measurements that have a timing."""
        return [measurement for measurement in self.measurements if measurement.timing is not None]

    def find(self, name: str) -> Measurement | None:
        """Return a candidate's measurement if it has a timing."""
        return next((measurement for measurement in self.timed if measurement.name == name), None)

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, batch {self.settings.batch_size}, {self.rows:,} rows"

    @property
    def description(self) -> str:
        """Network, training and data in one line: cases with the same can be compared."""
        settings = self.settings
        return f"{self}, {settings.dtype}, {settings.activation}, {settings.optimizer}; {self.workload}"


class Results(msgspec.Struct, frozen=True):
    """The cases of a benchmark, and where and when they were measured."""

    cases: tuple[Case, ...] = msgspec.field(name="points")
    sweep: str | None  # the setting that differs between cases
    machine: dict[str, Any]  # processor, cores, system, and the conditions when the benchmark started
    versions: dict[str, str]
    date: str

    @property
    def swept_values(self) -> list[int]:
        """The swept setting's value in each case."""
        return [SWEPT[self.sweep or ""].value(case.settings) for case in self.cases]

    def to_json(self) -> str:
        """Return the content of a results file."""
        values = msgspec.to_builtins(self)
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **values}, indent=2) + "\n"


def load_results(path: Path) -> Results:
    """Read a results file, or raise `DataError` if it is missing, damaged, foreign, or of another format version."""
    try:
        values = json.loads(read_whole(path).decode())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Give a file that bench wrote.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}). Give a file that bench wrote.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path}: is not a results file. Give a file that bench wrote.")
    if values.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{path}: has format version {values.get('format_version')!r}, expected {FORMAT_VERSION}. Measure again, "
            "or read it with the version of xpmlp that wrote it."
        )
    try:
        return msgspec.convert(values, Results)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: is damaged ({error}). Measure again.") from error
