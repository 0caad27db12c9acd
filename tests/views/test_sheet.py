"""Contact sheets."""

import numpy as np
import pytest
import torch
from PIL import Image

from sslfast.config import DataConfig, ViewConfig, load_config
from sslfast.data import Batch, Source
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.views import sheet
from sslfast.views.command import draw
from sslfast.views.sheet import GAP, IMAGES, LINE, MARGIN, PAPER, TILE_GAP, declaration, draw_views
from sslfast.views.shown import OPERATIONS

CPU = torch.device("cpu")
STILL = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "jitter": 0, "grayscale": 0}


def noise(count=12, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def drawn(images, data, path, operation=None):
    draw_views(Source("noise", images=images), data, 0, CPU, path, operation)
    return np.array(Image.open(path))


def pictures(pixels, top, side, column):
    """What stands in a row, each brought back to its pixels."""
    starts = [MARGIN + n * column for n in range(IMAGES)]
    return [pixels[top : top + side, left : left + side] for left in starts]


def test_images_and_their_views_stand_below_each_other_pixel_by_pixel(tmp_path):
    images, path = noise(), tmp_path / "views.png"
    data = DataConfig(size=8, views=[ViewConfig(**STILL), ViewConfig(**{**STILL, "flip": 1})])
    pixels = drawn(images, data, path)
    zoom = 112 // 8
    side = 8 * zoom
    rows = [pictures(pixels, MARGIN + LINE + row * (LINE + side + GAP), side, side + GAP) for row in range(3)]
    shown, same, mirrored = ([p[::zoom, ::zoom] for p in row] for row in rows)
    assert {image.tobytes() for image in shown} <= {image.tobytes() for image in images}
    assert len({image.tobytes() for image in shown}) == IMAGES
    for image, first, second in zip(shown, same, mirrored, strict=True):
        np.testing.assert_array_equal(first, image)
        np.testing.assert_array_equal(second, image[:, ::-1])


def test_views_of_several_sizes_are_to_scale(tmp_path, monkeypatch):
    class Loader:
        def epoch(self, epoch):
            red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
            yield Batch((red.expand(1, 3, 120, 120), red.expand(1, 3, 40, 40)), torch.tensor([0]), None, 0, 0)

    monkeypatch.setattr(sheet, "make_loader", lambda *_: Loader())
    data = DataConfig(mean=(0, 0, 0), std=(1, 1, 1), views=[ViewConfig(), ViewConfig(size=40)])
    pixels = drawn(np.full((1, 30, 60, 3), 255, np.uint8), data, tmp_path / "views.png")
    red = (pixels == (255, 0, 0)).all(-1)
    assert red.sum(axis=0)[MARGIN : MARGIN + 120].tolist() == [160] * 40 + [120] * 80
    white = (pixels == 255).all(-1).sum()
    assert white == 120 * 60  # the image, twice as wide as high


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_can_be_shown(operation, tmp_path):
    data = DataConfig(size=32, views=[ViewConfig(**STILL)])
    images = noise(side=32)
    plain = drawn(images, data, tmp_path / "plain.png")
    shown = drawn(images, data, tmp_path / "shown.png", operation)
    assert shown.shape[0] > plain.shape[0]
    below = shown[-MARGIN - 60 : -MARGIN]
    assert (below != PAPER).any()


def test_divided_views_show_the_view_in_quarters(tmp_path):
    pixels = drawn(noise(), DataConfig(size=8, views=[ViewConfig(**STILL)]), tmp_path / "a.png", "divide")
    zoom = 14
    side, wide = 8 * zoom, 8 * zoom + TILE_GAP
    top = MARGIN + 2 * (LINE + GAP) + LINE + wide + side
    view = pixels[top - GAP - LINE - side : top - GAP - LINE, MARGIN : MARGIN + side]
    quarters = pixels[top : top + wide, MARGIN : MARGIN + wide]
    middle = slice(side // 2, side // 2 + TILE_GAP)
    assert (quarters[middle] == PAPER).all()
    joined = np.delete(np.delete(quarters, middle, 0), middle, 1)
    np.testing.assert_array_equal(joined, view)


def test_the_methods_own_operation_is_shown(tmp_path, monkeypatch):
    config = load_config("moco_v2_shapes", ["data.limit=20"])
    plain, divided, own = (tmp_path / f"{name}.png" for name in ("plain", "divided", "own"))
    draw(config, plain)
    draw(config, divided, "divide")
    monkeypatch.setattr(METHODS["moco_v2"], "operation", "divide")
    draw(config, own)
    assert own.read_bytes() == divided.read_bytes() != plain.read_bytes()


def test_an_operation_that_cannot_work_is_a_sentence(tmp_path):
    data = DataConfig(size=9, views=[ViewConfig(**STILL)])
    with pytest.raises(UsageError, match="views.0: divide: 9 pixels cannot be divided into 2 equal parts"):
        drawn(noise(side=9), data, tmp_path / "a.png", "divide")
    assert not (tmp_path / "a.png").exists()


def test_fewer_images_than_columns(tmp_path):
    assert drawn(noise(count=1), DataConfig(size=8), tmp_path / "a.png").shape[1] == 2 * MARGIN + 112


def test_a_long_declaration_is_wrapped(tmp_path):
    data = DataConfig(size=8, views=[ViewConfig(blur=0.5, solarize=0.2)])
    one = drawn(noise(count=1), data, tmp_path / "a.png").shape[0]
    many = drawn(noise(), data, tmp_path / "b.png").shape[0]
    assert one > many


def test_a_declaration_says_what_is_done_and_nothing_else():
    assert declaration(ViewConfig(**STILL), 32) == "32 px, crop 1 to 1 of the area, ratio 1 to 1"
    text = declaration(ViewConfig(blur=1, solarize=0.2, scale=(0.08, 1)), 224)
    assert text == (
        "224 px, crop 0.08 to 1 of the area, flip 0.5, jitter 0.8 (0.4 0.4 0.4 0.1), gray 0.2, "
        "blur 1 (sigma 0.1 to 2), solarise 0.2"
    )
