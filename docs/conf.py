"""How Sphinx builds the documentation: `nox -s docs`."""

import os
import re
from importlib.metadata import version as installed_version
from importlib.resources import files
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

project = "xpmlp"
author = "xpmlp developers"
version = release = installed_version("xpmlp")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxcontrib.programoutput",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

os.environ["COLUMNS"] = "90"  # of the terminal in which the commands of commands.md are asked for --help

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_show_copyright = False
html_title = "xpmlp"
# The site loads nothing from elsewhere. MathJax's SVG form is one file, the shapes of its letters included.
mathjax_path = "tex-svg.js"
html_static_path = ["page.css", str(files("sphinx-mathjax-offline") / "static" / "mathjax" / mathjax_path)]
html_css_files = ["page.css"]
copybutton_prompt_text = "$ "

LOADED = (
    re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"' >]+)"),
    re.compile(r"<link\b(?![^>]*\brel=[\"']?canonical)[^>]*\bhref=[\"']?((?:https?:)?//[^\"' >]+)"),
    re.compile(r"(?:@import\s*|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)"),
)


def refuse_outside_downloads(app: Any, failure: Exception | None) -> None:
    """Refuse a site of which a page or a style sheet loads something from another host."""
    pages = [] if failure else [*Path(app.outdir).rglob("*.html"), *Path(app.outdir).rglob("*.css")]
    for page in pages:
        for pattern in LOADED:
            if found := pattern.search(page.read_text(encoding="utf-8")):
                raise ExtensionError(f"{page}: loads {found[1]}. Let the site hold what it needs.")


def setup(app: Any) -> None:
    """Check the site once it is built."""
    app.connect("build-finished", refuse_outside_downloads)
