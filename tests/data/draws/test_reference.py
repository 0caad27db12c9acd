"""The draws of a view: torchvision's distributions, valid boxes, purity."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from sslfast.config import ViewConfig
from sslfast.data.draws.reference import CROP_TRIES, ORDERS, crop_boxes, sample_view
from sslfast.kernels.view_augment import Draw

N = 4000


def sample(view=None, *, seed=0, epoch=0, indices=None, number=0, height=32, width=32):
    indices = np.arange(N) if indices is None else indices
    return sample_view(view or ViewConfig(), seed, epoch, indices, number, height, width)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (375, 500), (40, 200), (200, 20)])
def test_crops_are_distributed_as_torchvisions(height, width):
    """The last two shapes need the central crop often."""
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(8, scale=(0.3, 1.0))
    image = torch.empty(3, height, width)
    parameters = [theirs.make_params([image]) for _ in range(N)]
    expected = np.array([[p[key] for key in ("top", "left", "height", "width")] for p in parameters])
    boxes = sample(ViewConfig(scale=(0.3, 1.0)), height=height, width=width).boxes
    for column in range(4):
        assert ks_2samp(boxes[:, column], expected[:, column]).pvalue > 1e-3
    for combine in (np.multiply, np.divide):  # area, aspect ratio
        ours, torchvisions = (combine(b[:, 3], b[:, 2]) for b in (boxes, expected))
        assert ks_2samp(ours, torchvisions).pvalue > 1e-3, combine


def test_color_is_distributed_as_torchvisions():
    torch.manual_seed(0)
    view = ViewConfig(brightness=0.4, contrast=0.8, saturation=1.5, hue=0.1)
    theirs = v2.ColorJitter(0.4, 0.8, 1.5, 0.1)
    parameters = [theirs.make_params([]) for _ in range(N)]
    draws = sample(view)
    for name in ("brightness", "contrast", "saturation", "hue"):
        expected = np.array([p[f"{name}_factor"] for p in parameters])
        assert ks_2samp(getattr(draws, name), expected).pvalue > 1e-3, name
    _, counts = np.unique(draws.order, axis=0, return_counts=True)
    assert len(counts) == len(ORDERS) == 24
    chi_square = ((counts - N / 24) ** 2 / (N / 24)).sum()
    assert chi_square < 49.7  # 23 degrees of freedom: exceeded once in a thousand times


def test_probabilities_are_kept():
    view = ViewConfig(flip=0.3, jitter=0.8, grayscale=0.2, blur=0.6, blur_sigma=(0.1, 2.0), solarize=0.1)
    draws = sample(view)
    shares = {
        "flip": draws.flip,
        "jitter": draws.jitter,
        "grayscale": draws.grayscale,
        "blur": draws.blur_sigma > 0,
        "solarize": draws.solarize,
    }
    for name, share in shares.items():
        p = getattr(view, name)
        assert abs(share.mean() - p) < 4 * np.sqrt(p * (1 - p) / N), name
    sigma = draws.blur_sigma[draws.blur_sigma > 0]
    assert ks_2samp(sigma, np.linspace(0.1, 2.0, N)).pvalue > 1e-3
    for first, second in combinations(shares, 2):
        assert abs(np.corrcoef(shares[first], shares[second])[0, 1]) < 4 / np.sqrt(N)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_events(p):
    draws = sample(ViewConfig(flip=p, jitter=p, grayscale=p, blur=p, solarize=p))
    for events in (draws.flip, draws.jitter, draws.grayscale, draws.blur_sigma > 0, draws.solarize):
        assert (events == bool(p)).all()


dimension = st.integers(1, 500)


@given(
    height=dimension,
    width=dimension,
    scale=st.tuples(st.floats(1e-4, 1), st.floats(1e-4, 1)).map(sorted),
    ratio=st.tuples(st.floats(0.05, 20), st.floats(0.05, 20)).map(sorted),
    seed=st.integers(0, 2**32),
)
def test_boxes_lie_inside(height, width, scale, ratio, seed):
    numbers = np.random.default_rng(seed).random((2 * CROP_TRIES + 2, 16))
    numbers[-2:, 0] = 1 - 2.0**-32  # the largest draw
    boxes = crop_boxes(numbers, np.full(16, height), np.full(16, width), scale, ratio)
    top, left, box_height, box_width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (box_height >= 1).all()
    assert (box_width >= 1).all()
    assert (top + box_height <= height).all()
    assert (left + box_width <= width).all()


@pytest.mark.parametrize(("height", "width", "box"), [(10, 100, (0, 43, 10, 13)), (100, 10, (43, 0, 13, 10))])
def test_the_fallback_is_central(height, width, box):
    """No box of the whole area has a ratio of 3/4 to 4/3 here: the nearest central one is taken."""
    numbers = np.random.default_rng(0).random((2 * CROP_TRIES + 2, 5))
    boxes = crop_boxes(numbers, np.full(5, height), np.full(5, width), (1.0, 1.0), (3 / 4, 4 / 3))
    assert (boxes == box).all()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (375, 500), (200, 7), (1, 1)])
def test_crops_of_a_region_are_those_of_an_image_of_its_size(height, width):
    """Of rows 0.2 to 1 and columns 0 to 0.8, to whole pixels."""
    view = ViewConfig(region=(0.2, 0, 1, 0.8), scale=(0.3, 1))
    top, right = min(round(0.2 * height), height - 1), max(1, round(0.8 * width))
    boxes = sample(view, height=height, width=width).boxes
    expected = sample(ViewConfig(scale=(0.3, 1)), height=height - top, width=right).boxes
    assert (boxes - expected == [top, 0, 0, 0]).all()


def test_a_region_is_at_least_a_pixel():
    boxes = sample(ViewConfig(region=(0.99, 0.4, 1, 0.401)), height=5, width=5).boxes
    assert (boxes == [4, 2, 1, 1]).all()


def test_draws_are_pure_and_differ_by_view_epoch_and_seed():
    few = np.array([7, 3, 900])
    all_at_once, some = sample(epoch=5), sample(epoch=5, indices=few)
    for field in dataclasses.fields(some):
        assert (getattr(some, field.name) == getattr(all_at_once, field.name)[few]).all()
    for other in (sample(epoch=6), sample(epoch=5, number=1), sample(epoch=5, seed=1)):
        assert (other.boxes != all_at_once.boxes).any(axis=1).mean() > 0.9
        assert abs(np.corrcoef(other.hue, all_at_once.hue)[0, 1]) < 4 / np.sqrt(N)


def test_sizes_may_differ_by_sample():
    sizes = np.array([[32, 48], [100, 20], [7, 9]])
    mixed = sample(indices=np.arange(3), height=sizes[:, 0], width=sizes[:, 1]).boxes
    for i, (height, width) in enumerate(sizes):
        assert (mixed[i] == sample(indices=[i], height=height, width=width).boxes[0]).all()


def test_the_table_holds_the_draws():
    draws = sample(ViewConfig(grayscale=0.5, blur=0.5, solarize=0.5), indices=np.arange(50))
    table = draws.table()
    assert table.dtype == np.float32
    assert (table[:, : Draw.FLIP] == draws.boxes).all()
    columns = {
        Draw.FLIP: draws.flip,
        Draw.JITTER: draws.jitter,
        Draw.BRIGHTNESS: draws.brightness,
        Draw.CONTRAST: draws.contrast,
        Draw.SATURATION: draws.saturation,
        Draw.HUE: draws.hue,
        Draw.GRAYSCALE: draws.grayscale,
        Draw.SIGMA: draws.blur_sigma,
        Draw.SOLARIZE: draws.solarize,
    }
    for column, values in columns.items():
        assert (table[:, column] == values).all(), column
    for step in range(4):
        assert (table[:, Draw.ORDER].astype(int) >> 2 * step & 3 == draws.order[:, step]).all()
