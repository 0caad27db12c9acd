"""Reading image files of every mode as RGB."""

import numpy as np
import pytest
from PIL import Image

from sslfast.data.sources.images import UnreadableImage, read_rgb, without_ends

RAMP = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


def read(path):
    image = read_rgb(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_grayscale_is_repeated(tmp_path):
    path = tmp_path / "gray.png"
    Image.fromarray(RAMP).save(path)
    assert (read(path) == RAMP[..., None]).all()


def test_one_bit_is_black_and_white(tmp_path):
    path = tmp_path / "bit.png"
    Image.fromarray(RAMP > 127).save(path)
    assert (read(path) == 255 * (RAMP > 127)[..., None]).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(path)
    assert Image.open(path).mode.startswith("I")
    assert (read(path) == RAMP[..., None]).all()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_of_unknown_scale_are_refused(tmp_path, dtype):
    path = tmp_path / "wide.tif"
    Image.fromarray(RAMP.astype(dtype) * 1000).save(path)
    with pytest.raises(UnreadableImage, match="no known scale; set data.range"):
        read_rgb(path)


def test_cmyk(tmp_path):
    path = tmp_path / "print.jpg"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path, quality=95)
    assert abs(read(path).astype(int) - (255, 0, 0)).max() < 8


def test_palette(tmp_path):
    path = tmp_path / "palette.png"
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(path)
    assert (read(path) == (10, 200, 30)).all()


def test_transparent_palette_entries_are_white(tmp_path):
    path = tmp_path / "palette.png"
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.paste(0, (0, 0, 4, 8))
    image.save(path, transparency=0)
    assert (read(path)[:, :4] == 255).all()
    assert (read(path)[:, 4:] == (10, 200, 30)).all()


def test_alpha_is_laid_on_white(tmp_path):
    path = tmp_path / "alpha.png"
    Image.new("RGBA", (8, 8), (255, 0, 0, 102)).save(path)
    assert (read(path) == (255, 153, 153)).all()


def test_transparent_color_of_rgb_is_white(tmp_path):
    path = tmp_path / "key.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(path, transparency=(1, 2, 3))
    assert (read(path) == 255).all()


def test_first_frame_of_an_animation(tmp_path):
    path = tmp_path / "film.gif"
    red, blue = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    red.save(path, save_all=True, append_images=[blue])
    assert (read(path) == (255, 0, 0)).all()


def test_exif_orientation_is_applied(tmp_path):
    path = tmp_path / "turned.jpg"
    image = Image.new("RGB", (16, 8), "black")
    image.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    image.save(path, exif=exif, quality=95)
    pixels = read(path)
    assert pixels.shape == (16, 8, 3)
    assert pixels[:7].min() > 240  # the left half is on top now
    assert pixels[9:].max() < 15


def test_unreadable_files_say_why(tmp_path, make_image):
    empty, text, cut = (
        tmp_path / "empty.png",
        tmp_path / "text.jpg",
        make_image(tmp_path / "cut.jpg", size=(200, 200)),
    )
    empty.touch()
    text.write_text("not an image")
    cut.write_bytes(cut.read_bytes()[:1000])
    for path, reason in (
        (empty, "identify"),
        (text, "identify"),
        (cut, "truncated"),
        (tmp_path / "no", "No such file"),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            read_rgb(path)


@pytest.mark.parametrize(
    ("size", "kept"), [((1, 1), (1, 1)), ((1, 5000), (1, 8)), ((5000, 2), (16, 2)), ((80, 10), (80, 10))]
)
def test_the_middle_of_a_strip(size, kept):
    assert without_ends(Image.new("RGB", size)).size == kept
