"""Dates and times: how text writes them, and the numbers that a network takes in their place."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from xpmlp.model.table_schema import DatePart

from .table import import_polars

# As chrono, and so Polars, writes formats. Before a pair that the same text may fit stands the one that is preferred:
# months first between slashes, as pandas does, and two digits of a year before four. %B also reads short names.
DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%m/%d/%y", "%d/%m/%y", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%y", "%d.%m.%Y"),
    *("%d-%m-%y", "%m-%d-%y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d %B %y", "%d %B %Y", "%d-%B-%y", "%d-%B-%Y", "%d. %B %Y"),
    *("%B %d %Y", "%B %d, %Y", "%B-%d-%y", "%B-%d-%Y", "%a, %d %B %Y", "%a %B %d %Y", "%A, %B %d, %Y"),
)
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%B %Y", "%B-%y", "%B-%Y")
TIMES = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
FORMATS = (
    *DAYS,
    *(f"{day}{between}{time}{zone}" for day, between, time, zone in itertools.product(DAYS, " T", TIMES, ("", "%z"))),
    *MONTHS,
    *TIMES,
)
WHOLE_DATE = "%Y%m%d"  # also as a whole number
ENOUGH = 0.95  # of the values must be in one format; the others are missing values
SAMPLE, LIKELY = 100, 0.5  # of a few values, this part is in a format that is tried on all
LONGEST = 40
PARTS: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "hour", "elapsed")
SECONDS_A_DAY = 86_400
FIRST_YEAR = 1000  # else "Jan 2026" would also be the 20th of January 26


def find_format(text: Any, preferred: str | None = None) -> tuple[str, str | None] | None:
    """Return the format of a series of different texts, and a second one that they fit as well; None if they fit none.

    `preferred` is tried before the usual ones.
    """
    text = text.drop_nulls().str.strip_chars()
    if not len(text) or (text.str.contains(r"\d") & (text.str.len_chars() <= LONGEST)).mean() < ENOUGH:
        return None
    # The order of different texts is that of chance, so that a sample must not decide.
    likely = [name for name in FORMATS if fraction_in_format(text.head(SAMPLE), name) >= LIKELY]
    if preferred is not None:
        likely.insert(0, preferred)
    fractions = {name: fraction_in_format(text, name) for name in likely}
    best = max(fractions, key=lambda name: fractions[name], default="")  # the first among equals
    if fractions.get(best, 0.0) < ENOUGH:
        return None
    equals = (name for name in fractions if name != best and fractions[name] == fractions[best])
    return best, None if best == preferred else next(equals, None)


def fraction_in_format(text: Any, name: str) -> float:
    """Return how many of the texts are in a format."""
    dates = text.to_frame("text").select(dates=parse_dates(import_polars().col("text"), name))
    return 1.0 - int(dates["dates"].null_count()) / len(text)


def parse_dates(text: Any, name: str) -> Any:
    """Return an expression of text as dates without a time zone; null if not in this format.

    A month stands for its first day, a time for one on the first of January 1970, and a time with a zone for that in
    UTC.
    """
    text = text.str.strip_chars()
    if "%z" in name:
        text = text.str.replace(r"\s?(Z|UTC|GMT)$", "+0000")
    if "%y" not in name.lower():
        text, name = "1970-01-01 " + text, f"%Y-%m-%d {name}"
    elif "%d" not in name:
        text, name = text + " 01", f"{name} %d"
    dates = text.str.to_datetime(name, time_unit="us", strict=False, ambiguous="null")
    dates = dates.dt.replace_time_zone(None) if "%z" in name else dates
    return import_polars().when(dates.dt.year() >= FIRST_YEAR).then(dates)


def to_days(dates: Any, dtype: Any) -> Any:
    """Return dates, times or timestamps as days since 1970, in UTC if the time zone is known."""
    polars = import_polars()
    if dtype == polars.Time:
        return dates.cast(polars.Int64) / (SECONDS_A_DAY * 1e9)
    return dates.cast(polars.Datetime("us", getattr(dtype, "time_zone", None))).cast(polars.Int64) / (
        SECONDS_A_DAY * 1e6
    )


def date_part(days: Float64[np.ndarray, " rows"], part: DatePart) -> Float64[np.ndarray, " rows"]:
    """Return a part of days since 1970; NaN where they are."""
    if part == "elapsed":
        return days
    whole = np.floor(days)
    if part == "hour":
        return np.asarray((days - whole) * 24.0)
    polars = import_polars()
    dates = polars.Series(whole, nan_to_null=True).cast(polars.Int32).cast(polars.Date)
    found: Float64[np.ndarray, " rows"] = getattr(dates.dt, part)().cast(polars.Float64).to_numpy()
    return found


def varying_parts(extremes: Mapping[DatePart, tuple[float, float]]) -> list[DatePart]:
    """Return the parts of dates that differ between rows, by their extremes; of times of one day, the hour alone."""
    first, last = map(math.floor, extremes["elapsed"])
    if first == last:
        return ["hour"]
    are_months = extremes["day"] == (1.0, 1.0)
    varying: list[DatePart] = [part for part, (low, high) in extremes.items() if low < high]
    return [part for part in varying if not (are_months and part == "weekday")]
