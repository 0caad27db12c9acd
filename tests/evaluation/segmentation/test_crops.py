"""Training crops of images and masks."""

import numpy as np
import pytest
from PIL import Image

from sslfast.data.masks import IGNORED
from sslfast.errors import UsageError
from sslfast.evaluation.segmentation import crops as module
from sslfast.evaluation.segmentation.crops import TRIES, crop, crop_batches, is_varied, padded
from sslfast.evaluation.segmentation.photometric import distorted
from tests.evaluation.segmentation.halves import halves

MEAN = (0.5, 0.25, 0.0)


def batches(images, iterations, seed=0, batch_size=4):
    return list(crop_batches(images, MEAN, size=24, batch_size=batch_size, iterations=iterations, seed=seed))


def draws(scale=0.5, flip=0.0, place=(0.5, 0.5)):
    return np.array([scale, flip, *place * TRIES])


def field(height=40, width=60):
    """Makes an image whose red is its column and whose green its row, and a mask of its left and right half."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([4 * columns, 4 * rows, 0 * rows], axis=2).astype(np.uint8)
    return Image.fromarray(pixels), (columns >= width // 2).astype(np.uint8)


def test_batches_are_a_function_of_seed_and_iteration(tmp_path):
    images = halves(tmp_path, 6, 0)
    whole, later, other = (
        batches(images, range(4)),
        batches(images, range(2, 4)),
        batches(images, range(4), seed=1),
    )
    assert [array.shape for array in whole[0]] == [(4, 24, 24, 3), (4, 24, 24)]
    assert len(whole) == 4
    for expected, found in zip(whole[2:], later, strict=True):
        assert all(map(np.array_equal, expected, found))
    assert not np.array_equal(whole[0][0], other[0][0])
    assert not np.array_equal(whole[0][0], whole[3][0])


@pytest.mark.parametrize("scale", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("flip", [0.0, 0.9])
def test_a_mask_goes_with_its_image(scale, flip):
    image, mask = field()
    cut, classes = crop(image, mask, 32, draws(scale, flip, (0.4, 0.7)))
    assert np.asarray(cut).shape[:2] == classes.shape
    columns = np.asarray(cut)[..., 0] / 4
    assert (classes == (columns >= 29.5)).mean() > 0.97  # all but averages at the border
    assert (np.diff(columns, axis=1).mean() > 0) == (flip < 0.5)


def test_the_shorter_side_is_half_to_twice_the_crops():
    image, mask = field(40, 60)
    for scale, slope in ((0.0, 40 / 16), (0.5, 40 / 40), (1.0, 40 / 64)):  # of a crop of 32: 16, 40 and 64 pixels
        cut, _ = crop(image, mask, 32, draws(scale))
        assert cut.size == (min(32, round(60 / slope)), min(32, round(40 / slope)))
        inner = np.asarray(cut)[2:-2, 2:-2].astype(float) / 4  # without the edges
        assert np.diff(inner[..., 0], axis=1).mean() == pytest.approx(slope, rel=0.05)
    strip, mask = field(8, 60)
    assert crop(strip, mask, 32, draws(0.0))[0].size == (32, 9)  # 64 pixels long, four times 32 * 0.5


def test_a_place_with_mostly_one_class_is_left_for_another():
    image, mask = field(64, 64)
    places = np.full((TRIES, 2), 0.0)
    places[3] = 0.5, 0.5
    numbers = np.array([0.999, 0.0, *places.ravel()])
    _, classes = crop(image, mask, 32, numbers)
    assert classes.mean() == pytest.approx(0.5, abs=0.1)
    places[3] = 0.0
    assert not crop(image, mask, 32, np.array([0.999, 0.0, *places.ravel()]))[1].any()


def test_what_is_varied():
    assert is_varied(np.array([[0, 0, 1, 1]], dtype=np.uint8))
    assert not is_varied(np.array([[0, 0, 0, 1]], dtype=np.uint8))
    assert not is_varied(np.array([[0, IGNORED]], dtype=np.uint8))
    assert not is_varied(np.full((2, 2), IGNORED, dtype=np.uint8))


def test_a_margin_is_ignored_and_of_the_mean_color():
    image, mask = field(4, 6)
    pixels, classes = padded(image, mask, 8, (1, 2, 3))
    assert np.array_equal(pixels[:4, :6], image)
    assert np.array_equal(classes[:4, :6], mask)
    for margin in (np.s_[4:], np.s_[:, 6:]):
        assert (classes[margin] == IGNORED).all()
        assert (pixels[margin] == (1, 2, 3)).all()


def test_an_image_that_is_gone_since_it_was_checked(tmp_path):
    images = halves(tmp_path, 2, 0)
    images.paths[1].write_bytes(b"")
    with pytest.raises(UsageError, match="01.png: can no longer be read"):
        batches(images, range(2))


def test_colors_are_distorted_one_by_one():
    image = Image.fromarray(np.random.default_rng(0).integers(60, 120, (8, 8, 3), dtype=np.uint8))
    none, levels = np.full(9, 0.75), np.asarray(image).astype(int)
    assert np.array_equal(distorted(image, none), image)

    def only(number, amount, last=0.75):
        numbers = none.copy()
        numbers[[number, 4 + number, 8]] = 0.25, amount, last
        return np.asarray(distorted(image, numbers)).astype(int)

    assert np.array_equal(only(0, 1.0), levels + 32)
    assert np.array_equal(only(0, 0.0), levels - 32)
    for last in (0.25, 0.75):
        assert np.array_equal(only(1, 0.0, last), np.rint(levels * 0.5))
    gray = only(2, 0.0)
    assert gray.max(2) == pytest.approx(levels.max(2), abs=1)  # the value stays
    spread = (gray.max(2) - gray.min(2)) / (levels.max(2) - levels.min(2)).clip(1)
    assert np.median(spread) == pytest.approx(0.5, abs=0.05)
    red = Image.new("RGB", (1, 1), (200, 0, 0))
    turned = none.copy()
    turned[[3, 7]] = 0.25, 0.0  # a tenth of a turn back from red: towards magenta
    assert np.asarray(distorted(red, turned))[0, 0] == pytest.approx((200, 0, 120), abs=6)


def test_crops_have_the_chosen_numbers(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "crop", lambda *arguments: seen.append(arguments[3]) or crop(*arguments))
    batches(halves(tmp_path, 3, 0), range(30))
    numbers = np.array(seen)
    assert numbers.shape == (120, 2 + 2 * TRIES)
    assert numbers.mean(0) == pytest.approx(np.full(2 + 2 * TRIES, 0.5), abs=0.12)
    assert len(np.unique(numbers[:, 0])) == 120
