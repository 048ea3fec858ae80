"""A benchmark's results: everything, in one JSON file, and read again from it."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xpmlp.environment import describe_machine, describe_versions
from xpmlp.errors import DataError
from xpmlp.whole_files import write_whole

from .limits import Ceilings, Limits
from .measurement import Measurement, Point
from .settings import BenchSettings
from .timing import Timing

FORMAT = "xpmlp benchmark"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Results:
    """What was measured, where and when.

    Attributes
    ----------
    points
        One, or one for each value of each sweep.
    sweep
        The name of what differs between the points; None where there is only one.
    """

    points: tuple[Point, ...]
    sweep: str | None = None
    machine: dict[str, Any] = field(default_factory=describe_machine)
    versions: dict[str, str] = field(default_factory=describe_versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def to_json(self) -> str:
        """Return everything, as a file holds it."""
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}, indent=2) + "\n"

    def save(self, path: Path) -> None:
        """Write everything to a file, whole or not at all."""
        write_whole(path, self.to_json().encode())


def load_results(path: Path) -> Results:
    """Read what `Results.save` wrote.

    Raises
    ------
    DataError
        Where there is no such file, or it is something else, or of another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Give a file that bench wrote.") from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}). Give a file that bench wrote.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path}: does not hold results of a benchmark. Give a file that bench wrote.")
    if values.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{path}: is of format version {values.get('format_version')!r}, expected {FORMAT_VERSION}. "
            "Measure again, or read it with the version of xpmlp that wrote it."
        )
    try:
        return Results(
            points=tuple(parse_point(point) for point in values["points"]),
            **{name: values[name] for name in ("sweep", "machine", "versions", "date")},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is damaged ({type(error).__name__}: {error}). Measure again.") from error


def parse_point(values: dict[str, Any]) -> Point:
    """Make a point of what JSON holds."""
    settings = values["settings"] | {"hidden_layer_sizes": tuple(values["settings"]["hidden_layer_sizes"])}
    return Point(
        **values
        | {
            "settings": BenchSettings(**settings),
            "sizes": tuple(values["sizes"]),
            "measurements": tuple(parse_measurement(measurement) for measurement in values["measurements"]),
        }
    )


def parse_measurement(values: dict[str, Any]) -> Measurement:
    """Make a measurement of what JSON holds."""
    timing, ceilings, limits = values["timing"], values["ceilings"], values["limits"]
    return Measurement(
        **values
        | {
            "timing": None if timing is None else Timing(tuple(timing["seconds"])),
            "ceilings": None if ceilings is None else Ceilings(**ceilings),
            "limits": None if limits is None else Limits(*limits),
        }
    )
