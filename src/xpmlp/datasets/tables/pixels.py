"""Tables whose columns are the pixels of images, such as MNIST's as CSV."""

import math

from xpmlp.model.table_schema import Kind

from .options import TableOptions
from .table import Table, import_polars

SMALLEST_SIDE = 8
BRIGHTEST = 255
# Whole numbers that never come near 255 are counts or percentages.
DARKEST_WHITE = 128


def image_shape(table: Table, kinds: dict[str, Kind], options: TableOptions) -> tuple[int, int] | None:
    """Return height and width where the features are images: as many whole numbers of 0 to 255 as a square has.

    What came out of an array of images need not be square. None for everything else, and where a scaling was asked
    for that is none of images.
    """
    if options.scale not in (None, "unit") or set(kinds.values()) != {"number"}:
        return None
    side = math.isqrt(len(kinds))
    shape = table.row_shape if table.row_shape is not None else (side, side)
    if len(shape) != 2 or math.prod(shape) != len(kinds) or min(shape) < SMALLEST_SIDE:
        return None
    if not all(table.schema[name].is_integer() for name in kinds):
        return None
    polars = import_polars()
    lowest, highest = 0, 0
    for group in table.column_groups(list(kinds)):
        extremes = group.select(
            polars.min_horizontal(polars.all().min()).alias("lowest"),
            polars.max_horizontal(polars.all().max()).alias("highest"),
        )
        lowest, highest = min(lowest, extremes["lowest"][0] or 0), max(highest, extremes["highest"][0] or 0)
    return (shape[0], shape[1]) if lowest >= 0 and DARKEST_WHITE <= highest <= BRIGHTEST else None
