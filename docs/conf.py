"""How Sphinx builds the documentation: `nox -s docs`."""

import os
from importlib.metadata import version as installed_version

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

os.environ["COLUMNS"] = "100"  # of the terminal in which the commands of commands.md are asked for --help

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "xpmlp"
html_static_path: list[str] = []
copybutton_prompt_text = "$ "
