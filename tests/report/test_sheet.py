"""Contact sheets."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from sslfast.config import DataConfig, ViewConfig
from sslfast.data import Batch, Source
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from sslfast.report import sheet, views
from sslfast.report.sheet import GAP, LINE, MARGIN, draw_views, font_size
from sslfast.report.views import IMAGES, PAPER, TILE_GAP, declaration

CPU = torch.device("cpu")
CAPTION = round(LINE * font_size(112))  # pixels of a line
STILL = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "jitter": 0, "grayscale": 0}


def noise(count=12, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def drawn(images, data, path, recipe="moco_v2_cifar10", *settings):
    config = dataclasses.replace(load_recipe(recipe, settings), data=data)
    draw_views(Source("noise", images=images), config, CPU, path)
    return np.array(Image.open(path))


def pictures(pixels, top, side, column):
    """Returns what stands in a row, each brought back to its pixels."""
    starts = [MARGIN + n * column for n in range(IMAGES)]
    return [pixels[top : top + side, left : left + side] for left in starts]


def test_images_and_their_views_stand_below_each_other_pixel_by_pixel(tmp_path):
    images, path = noise(), tmp_path / "views.png"
    data = DataConfig(size=8, views=[ViewConfig(**STILL), ViewConfig(**{**STILL, "flip": 1})])
    pixels = drawn(images, data, path)
    zoom = 112 // 8
    side = 8 * zoom
    rows = [
        pictures(pixels, MARGIN + CAPTION + row * (CAPTION + side + GAP), side, side + GAP) for row in range(3)
    ]
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

    monkeypatch.setattr(views, "make_loader", lambda *_: Loader())
    data = DataConfig(mean=(0, 0, 0), std=(1, 1, 1), views=[ViewConfig(), ViewConfig(size=40)])
    pixels = drawn(np.full((1, 30, 60, 3), 255, np.uint8), data, tmp_path / "views.png")
    red = (pixels == (255, 0, 0)).all(-1)
    assert red.sum(axis=0)[MARGIN : MARGIN + 120].tolist() == [160] * 40 + [120] * 80
    white = (pixels == 255).all(-1).sum()
    assert white == 120 * 60  # the image, twice as wide as high


def test_divided_views_show_the_view_in_quarters(tmp_path):
    data = DataConfig(size=8, views=[ViewConfig(**STILL)])
    pixels = drawn(noise(), data, tmp_path / "a.png", "fast_moco_cifar10")
    zoom = 14
    side, wide = 8 * zoom, 8 * zoom + TILE_GAP
    top = MARGIN + 2 * (CAPTION + GAP) + CAPTION + wide + side
    view = pixels[top - GAP - CAPTION - side : top - GAP - CAPTION, MARGIN : MARGIN + side]
    quarters = pixels[top : top + wide, MARGIN : MARGIN + wide]
    middle = slice(side // 2, side // 2 + TILE_GAP)
    assert (quarters[middle] == PAPER).all()
    joined = np.delete(np.delete(quarters, middle, 0), middle, 1)
    np.testing.assert_array_equal(joined, view)


@pytest.mark.parametrize(
    ("method", "worked_on"), [("moco_v2", []), ("fast_moco", [0, 1]), ("mncl", [0, 2]), ("pirl", [1])]
)
def test_below_a_view_stands_what_the_method_makes_of_it(tmp_path, monkeypatch, method, worked_on):
    rows = []
    monkeypatch.setattr(sheet, "_sheet", lambda drawn: rows.extend(drawn) or Image.new("RGB", (1, 1)))
    drawn(noise(side=32), load_recipe(f"{method}_cifar10").data, tmp_path / "a.png", f"{method}_cifar10")
    labels = [label.split(": ")[0] for label, _ in rows]
    views = [f"views.{number}" for number in range(len(labels) - 1 - len(worked_on))]
    made = {f"views.{number}": [f"views.{number}, what {method} makes of it"] for number in worked_on}
    assert labels == ["images", *(label for view in views for label in (view, *made.get(view, [])))]


def test_patches_are_those_of_the_recipe(tmp_path):
    """Places without a patch are paper."""
    settings = ("method.patch=6", "method.gap=1", "method.jitter=0", "method.drop_colors=0")
    data = DataConfig(size=20, views=[ViewConfig(**STILL)])
    white = np.full((12, 20, 20, 3), 255, np.uint8)
    plain = drawn(white, data, tmp_path / "a.png", "context_prediction_cifar10", *settings)
    zoom = 6  # 6 x 20 > 112
    bottom = plain[-MARGIN - 3 * (6 * zoom + TILE_GAP) :, MARGIN : MARGIN + 3 * (6 * zoom + TILE_GAP)]
    assert (bottom == 255).all(-1).sum() == 2 * (6 * zoom) ** 2


def test_an_operation_that_cannot_work_is_a_sentence(tmp_path):
    data = DataConfig(size=9, views=[ViewConfig(**STILL)])
    with pytest.raises(UsageError, match="views.0: divide: 9 pixels cannot be divided into 2 equal parts"):
        drawn(noise(side=9), data, tmp_path / "a.png", "fast_moco_cifar10")
    assert not (tmp_path / "a.png").exists()


def test_fewer_images_than_columns(tmp_path):
    assert drawn(noise(count=1), DataConfig(size=8), tmp_path / "a.png").shape[1] == 2 * MARGIN + 112


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("side", [112, 128, 192, 224, 462])  # of 8, 32, 96, 224 pixels, and 7 x 7 patches of 64
def test_captions_are_whole_and_grow_with_the_pictures(side, count):
    """Pictures are white here: what is neither white nor paper is ink."""
    label = "views.0, what context_prediction makes of it: " + declaration(ViewConfig(blur=0.5, solarize=0.2), 224)
    white = np.full((side, side, 3), 255, np.uint8)
    pixels = np.asarray(sheet._sheet([(label, [white] * count)] * 2))[..., 0]
    assert (pixels == 255).sum() == 2 * count * side**2  # no caption on a picture
    ink = (pixels != 255) & (pixels != PAPER)
    assert ink.any(0).argmax() >= MARGIN - 1  # nor beyond the margins; a j begins before its place
    assert ink.any(0)[::-1].argmax() >= MARGIN - 1
    starts = np.flatnonzero(np.diff(ink.any(1), prepend=False) & ink.any(1))
    ends = np.flatnonzero(np.diff(ink.any(1), append=False) & ink.any(1))
    font = ImageFont.load_default(font_size(side))
    width = pixels.shape[1] - 2 * MARGIN
    lines = sheet._wrapped(label, font, width)
    assert " ".join(lines) == label
    assert max(font.getlength(line) for line in lines) <= width
    assert len(starts) == 2 * len(lines)  # with paper between each and the next
    assert (ends - starts).max() > side / 12


def test_a_long_declaration_is_wrapped(tmp_path):
    data = DataConfig(size=8, views=[ViewConfig(blur=0.5, solarize=0.2)])
    one = drawn(noise(count=1), data, tmp_path / "a.png").shape[0]
    many = drawn(noise(), data, tmp_path / "b.png").shape[0]
    assert one > many


def test_a_declaration_says_what_is_done_and_nothing_else():
    assert declaration(ViewConfig(**STILL), 32) == "32 px, crop 1 to 1 of the area, ratio 1 to 1"
    part = ViewConfig(**STILL, region=(0.2, 0, 1, 0.8))
    assert "1 of the area, of rows 0.2 to 1, columns 0 to 0.8, ratio" in declaration(part, 32)
    text = declaration(ViewConfig(blur=1, solarize=0.2, scale=(0.08, 1)), 224)
    assert text == (
        "224 px, crop 0.08 to 1 of the area, flip 0.5, jitter 0.8 (0.4 0.4 0.4 0.1), gray 0.2, "
        "blur 1 (sigma 0.1 to 2), solarize 0.2"
    )
