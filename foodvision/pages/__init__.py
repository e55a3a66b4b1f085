"""Self-contained HTML pages: reports that one file carries, and that a phone can read.

Values and images come in; out goes the text of a page without a script, a link or a font from
elsewhere. Each page is a template in ``templates`` that extends ``page.html``, which has the style.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import jinja2
from PIL import Image, ImageOps

from foodvision.images.decode import ImageSource, open_image
from foodvision.text import printable

JPEG_QUALITY = 80


def render(template: str, **values: Any) -> str:
    """The text of a page.

    Every value is escaped, control characters included: the name of a file or a class is shown, and
    never read as HTML.

    Args:
        template: name of a file in ``templates``.
        values: what it refers to; a name that it does not find is an error.

    """
    return _environment().get_template(template).render(values)


def thumbnail(source: ImageSource, side: int = 160) -> str:
    """A small JPEG of an image as a ``data:`` address, for the ``src`` of an ``<img>``.

    Args:
        source: what `open_image` takes.
        side: pixels of the square that it fits into; a smaller image is not enlarged.

    Raises:
        ImageError: if the image cannot be opened.

    """
    image = open_image(source, min_side=side)
    fitted = image if max(image.size) <= side else ImageOps.contain(image, (side, side))
    return data_address(fitted)


def data_address(image: Image.Image | bytes) -> str:
    """An RGB image as JPEG, or the bytes of a PNG file as they are, as a ``data:`` address."""
    kind, content = "png", image
    if isinstance(content, Image.Image):
        file = io.BytesIO()
        content.save(file, "JPEG", quality=JPEG_QUALITY)
        kind, content = "jpeg", file.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("foodvision.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["count"] = lambda n: f"{n:,}"
    environment.filters["percent"] = lambda share, digits=1: f"{share:.{digits}%}"
    return environment
