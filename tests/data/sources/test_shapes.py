"""The built-in data set: fixed, balanced, and in need of shape as well as color."""

import numpy as np
import pytest

from sslfast.data import open_source
from sslfast.data.sources.shapes import _pictures


@pytest.fixture(scope="module")
def shapes():
    return open_source("shapes")


def test_form(shapes):
    assert shapes.images.shape == (5000, 32, 32, 3)
    assert shapes.images.dtype == np.uint8
    assert len(shapes.classes) == len(set(shapes.classes)) == 10
    assert np.bincount(shapes.labels).tolist() == [500] * 10
    assert shapes.image(0).mode == "RGB"


def test_the_same_every_time(shapes):
    _, again = _pictures.__wrapped__()  # drawn anew
    assert again is not shapes.images
    assert np.array_equal(again, shapes.images)


def test_every_picture_is_another(shapes):
    assert len(np.unique(shapes.images.reshape(5000, -1), axis=0)) == 5000


def test_limit(shapes):
    limited = open_source("shapes", limit=100)
    assert np.bincount(limited.labels).tolist() == [10] * 10
    position = {image.tobytes(): i for i, image in enumerate(shapes.images)}
    chosen = [position[image.tobytes()] for image in limited.images]
    assert (shapes.labels[chosen] == limited.labels).all()


def nearest_centroid(features, labels):
    """Measures the accuracy on the second half of a classifier by the first half's class means."""
    half = len(labels) // 2
    means = np.stack([features[:half][labels[:half] == c].mean(axis=0) for c in range(labels.max() + 1)])
    distance = np.square(features[half:, None] - means).sum(axis=-1)
    return (distance.argmin(axis=1) == labels[half:]).mean()


def test_color_alone_tells_two_groups_not_ten_classes(shapes):
    """Mean color separates warm from cool figures; the kind of figure is left near chance (1 of 5)."""
    color = shapes.images.mean(axis=(1, 2)) / 255
    warm = np.array(["warm" in name for name in shapes.classes])[shapes.labels].astype(int)
    assert nearest_centroid(color, warm) > 0.9
    assert nearest_centroid(color, shapes.labels) < 0.4


def test_shape_alone_does_not_tell_warm_from_cool(shapes):
    """A gray picture keeps all outlines."""
    gray = shapes.images.mean(axis=-1).reshape(5000, -1) / 255
    gray = (gray - gray.mean(axis=1, keepdims=True)) / gray.std(axis=1, keepdims=True)
    assert nearest_centroid(gray, shapes.labels) < 0.4
