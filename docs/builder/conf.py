"""Sphinx's settings: Markdown in, pages out; `make docs` makes every warning an error."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # our extensions, beside this file

project = "foodvision"
author = "the foodvision developers"
copyright = "the foodvision developers, MIT licence"
release = installed("foodvision")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "command_line",
    "docstrings",
    "source_pages",
]
exclude_patterns = ["builder", "checks"]
nitpicky = False  # docstrings name types of torch and numpy, whose pages are on the network

# Headings are link targets, as on code hosts: results.md#the-app-under-load.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

# `name` in a docstring is a link where it is documented, and code anywhere else.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
add_module_names = False

html_theme = "furo"
html_title = "foodvision"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "github-dark"
