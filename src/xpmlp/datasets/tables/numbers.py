"""Text that stands for numbers: missing markers, and numbers with currencies, units, percent signs and separators."""

import re
from typing import Any

from xpmlp.model.table_schema import NumberFormat

from .table import import_polars

# The markers of missing values that pandas knows.
MISSING_MARKERS = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
]
# Also missing, in lower case, where all other values are numbers.
MARKERS_AMONG_NUMBERS = [
    *("?", "-", "--", "---", "–", "—", ".", "..", "...", "*", "na", "n/a", "n.a.", "nan", "none", "null", "nil"),
    *("missing", "unknown", "not available", "#value!", "#div/0!", "#ref!", "#null!"),
]
CURRENCY = (
    r"(?:US|R|A|C|NZ|HK)?\$|[€£¥₹₩₽₺₫₴₦฿¢]|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|kr|Rs|Fr)\.?"
)
MAGNITUDES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "mln": 1e6, "million": 1e6}
MAGNITUDES |= {"b": 1e9, "bn": 1e9, "mrd": 1e9, "billion": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12}
ALSO_UNITS = ("m", "b", "t")  # metres, bytes and tonnes, where all cells have them
UNIT = r"%|‰|°?[^\W\d_](?:[^\W\d_]|[/²³µ.]){0,9}|[\"'+°]"
# In brackets, or before a minus, it is negative, as in accounts; a dash for the decimals, as in 12,-, means none. The
# same for Python and for Polars.
DECORATED = (
    rf"^(\(?)\s*([+−-]?)\s*({CURRENCY})?\s*([+−-]?)\s*([\d.,][\d.,'’_ \x{{a0}}\x{{202f}}]*?(?:[eE][+-]?\d+)?)\s*"
    rf"([−–—-]{{0,2}})\s*({CURRENCY}|{UNIT})?\s*({CURRENCY})?\s*\)?$"
)
GROUPS = r"['’_ \x{a0}\x{202f}]"  # between thousands
POINT = rf"^(\d{{1,3}}((,\d{{2,3}})*,\d{{3}}|({GROUPS}\d{{3}})+)(\.\d*)?|\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
COMMA = rf"^(\d{{1,3}}((\.\d{{3}})+|({GROUPS}\d{{3}})+)(,\d*)?|\d+,?\d*|,\d+)([eE][+-]?\d+)?$"


def for_python(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of Polars' syntax."""
    return re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: chr(int(match[1], 16)), pattern))


DECORATED_CELL, POINT_NUMBER, COMMA_NUMBER = map(for_python, (DECORATED, POINT, COMMA))


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, perhaps with a currency, unit or separators."""
    found = DECORATED_CELL.match(cell.strip())
    return found is not None and (POINT_NUMBER.match(found[5]) or COMMA_NUMBER.match(found[5])) is not None


def as_numbers(text: Any) -> Any:
    """Return a series of text as whole numbers or as floats if all of it is plain numbers, else None."""
    polars = import_polars()
    for kind in (polars.Int64, polars.Float64):
        values = text.cast(kind, strict=False)
        if values.null_count() == text.null_count() < len(text):
            return values
    return None


def find_format(text: Any, *, decimal_comma: bool) -> NumberFormat | None:
    """Return the format of a series of text if all of it is decorated numbers in one unit, else None.

    Where cells such as ``1,234`` may be read in two ways, they are thousands unless `decimal_comma` is given.
    """
    polars = import_polars()
    distinct = text.unique().drop_nulls()
    if not len(distinct) or not is_number(distinct[0]):
        return None
    parts = distinct.str.extract_groups(DECORATED)
    digits = parts.struct.field("5")
    are_files = digits.str.ends_with(".") & parts.struct.field("7").is_not_null()  # 1.jpg
    are_grades = (parts.struct.field("6") != "") & ~digits.str.contains("[.,]")  # 2-
    if digits.null_count() or (are_files | are_grades).any():
        return None
    after = parts.struct.field("7").drop_nulls().unique()
    magnitudes = after.str.to_lowercase()
    has_magnitudes = bool(len(after)) and bool(magnitudes.is_in(list(MAGNITUDES)).all())
    if has_magnitudes and len(after) == 1 and not parts.struct.field("3").count() + parts.struct.field("8").count():
        has_magnitudes = after[0] not in ALSO_UNITS
    units = [parts.struct.field(place) for place in (("3", "8") if has_magnitudes else ("3", "7", "8"))]
    units = polars.concat(units).drop_nulls().unique()
    if len(units) > 1:
        return None
    unit = units[0] if len(units) else ""
    forms = [NumberFormat(".", unit, has_magnitudes), NumberFormat(",", unit, has_magnitudes)]
    for form in reversed(forms) if decimal_comma else forms:
        if digits.str.contains(POINT if form.decimal == "." else COMMA).all():
            return form
    return None


def apply_format(text: Any, form: NumberFormat) -> Any:
    """Return text in a format as numbers; null where it is not in that format."""
    polars = import_polars()
    parts = text.str.extract_groups(DECORATED)
    bracket, sign, before, other, digits, dash, after, last = (parts.struct.field(str(index)) for index in range(1, 9))
    fits = digits.str.contains(POINT if form.decimal == "." else COMMA)
    for unit in (before, last) if form.magnitudes else (before, after, last):
        fits &= unit.is_null() | (unit == form.unit)
    plain = digits.str.replace_all(GROUPS, "").str.replace_all("," if form.decimal == "." else ".", "", literal=True)
    values = plain.str.replace(",", ".", literal=True).cast(polars.Float64, strict=False)
    negative = (bracket != "") | sign.is_in(["-", "−"]) | other.is_in(["-", "−"])
    negative |= dash.is_in(["-", "−"]) & digits.str.contains(r"\d$")
    values = values * (1.0 - 2.0 * negative.cast(polars.Float64))
    if form.magnitudes:
        factors = list(MAGNITUDES.values())
        values *= (
            after.str.to_lowercase().fill_null("").replace_strict(["", *MAGNITUDES], [1.0, *factors], default=None)
        )
    values = values.set(~fits.fill_null(value=False), None).alias(text.name)
    whole = values.cast(polars.Int64, strict=False)
    return whole if bool((whole == values).all()) and whole.null_count() == values.null_count() else values
