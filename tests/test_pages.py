import base64
import io

import pytest
from PIL import Image

from foodvision.pages import data_address, render, thumbnail


def _opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1])))


def test_a_title_is_shown_and_not_read_as_html() -> None:
    page = render("page.html", title="<script>\x1b[31m & co")
    assert "<title>&lt;script&gt;\\x1b[31m &amp; co</title>" in page


@pytest.mark.parametrize("size", [(400, 200), (40, 20)])
def test_a_thumbnail_fits_and_is_never_enlarged(size: tuple[int, int]) -> None:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "PNG")
    small = _opened(thumbnail(file.getvalue(), 100))
    assert small.size == ((100, 50) if size == (400, 200) else size)
    assert small.format == "JPEG"


def test_a_png_is_embedded_as_it_is() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, "PNG")
    assert _opened(data_address(file.getvalue())).format == "PNG"
