"""HTML for notebooks: tables and pictures of the results that a cell ends with."""

import base64
import html
from collections.abc import Callable, Iterable, Sequence

from .errors import MissingDependencyError


def html_table(header: Sequence[object], rows: Iterable[Iterable[object]], caption: str = "") -> str:
    """Return a table; texts may hold any characters."""

    def line(cells: Iterable[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    title = f'<caption style="text-align: left">{html.escape(caption)}</caption>' if caption else ""
    return f"<table>{title}{line(header, 'th') if header else ''}{''.join(line(row, 'td') for row in rows)}</table>"


def html_picture(draw: Callable[[], bytes]) -> str:
    """Return a picture in PNG, drawn by `draw`; nothing if what draws it is not installed."""
    try:
        return f'<img src="data:image/png;base64,{base64.b64encode(draw()).decode()}" style="max-width: 100%">'
    except MissingDependencyError:
        return ""
