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
PLAIN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
CURRENCY = (
    r"(?:US|R|A|C|NZ|HK)?\$|[€£¥₹₩₽₺₫₴₦฿¢]|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|kr|Rs|Fr)\.?"
)
UNIT = r"%|‰|°?[^\W\d_](?:[^\W\d_]|[/²³µ.]){0,9}|[\"'+°]"
# In brackets it is negative, as in accounts. The same for Python and for Polars.
DECORATED = (
    rf"^(\(?)\s*([+−-]?)\s*({CURRENCY})?\s*([+−-]?)\s*([\d.,][\d.,'’_ \x{{a0}}\x{{202f}}]*?(?:[eE][+-]?\d+)?)\s*"
    rf"({CURRENCY}|{UNIT})?\s*\)?$"
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
    if digits.null_count():
        return None
    units = polars.concat([parts.struct.field("3"), parts.struct.field("6")]).drop_nulls().unique()
    if len(units) > 1:
        return None
    unit = units[0] if len(units) else ""
    forms = [NumberFormat(".", unit), NumberFormat(",", unit)]
    for form in reversed(forms) if decimal_comma else forms:
        if digits.str.contains(POINT if form.decimal == "." else COMMA).all():
            return form
    return None


def apply_format(text: Any, form: NumberFormat) -> Any:
    """Return text in a format as numbers; null where it is not in that format."""
    polars = import_polars()
    parts = text.str.extract_groups(DECORATED)
    bracket, sign, before, other, digits, after = (parts.struct.field(str(index)) for index in range(1, 7))
    fits = digits.str.contains(POINT if form.decimal == "." else COMMA)
    for unit in (before, after):
        fits &= unit.is_null() | (unit == form.unit)
    plain = digits.str.replace_all(GROUPS, "").str.replace_all("," if form.decimal == "." else ".", "", literal=True)
    values = plain.str.replace(",", ".", literal=True).cast(polars.Float64, strict=False)
    negative = (bracket != "") | sign.is_in(["-", "−"]) | other.is_in(["-", "−"])
    values = values * (1.0 - 2.0 * negative.cast(polars.Float64))
    values = values.set(~fits.fill_null(value=False), None).alias(text.name)
    whole = values.cast(polars.Int64, strict=False)
    return whole if bool((whole == values).all()) and whole.null_count() == values.null_count() else values
