"""Google's style of docstrings for Sphinx, and the default of each setting of a run.

Napoleon reads "What is trained: all layers" below an attribute as its type and its description.
Docstrings of attributes have no sections here, so it is kept from them.
"""

from __future__ import annotations

import json

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

from foodvision import Recipe

STYLE = Config(napoleon_use_ivar=True)


def read_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Replace a docstring's lines by those that Sphinx understands."""
    if what not in ("attribute", "property"):
        lines[:] = GoogleDocstring(lines, STYLE, app, what, name, obj, options).lines()
        return
    setting = Recipe.model_fields.get(name.removeprefix("foodvision.Recipe."))
    if setting and isinstance(setting.default, str | int | float):
        lines += ["", f"Default: ``{json.dumps(setting.default)}``", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", read_docstring)
    return {"parallel_read_safe": True}
