"""Reading how large an image is, and which way up."""

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sslfast.data.sources.header import read_header
from tests.data.zoo.exif import oriented
from tests.data.zoo.png import from_rgb
from tests.data.zoo.specimen import picture


@pytest.mark.parametrize("place", ["before", "none"])
def test_a_png_is_not_decoded_for_its_header(tmp_path, monkeypatch, place):
    path = tmp_path / "0.png"
    path.write_bytes(from_rgb(picture(), [(b"eXIf", oriented(6))] if place == "before" else []))
    monkeypatch.setattr(PngImageFile, "load", None)
    with path.open("rb") as file, Image.open(file) as image:
        header = read_header(image)
        monkeypatch.undo()
        image.load()  # from where it would have been read
    assert header == ((40, 32, 6) if place == "before" else (32, 40, 1))
    assert header.stored_shape == (32, 40)
