"""The held-out share: stratified, fixed, complete."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslfast.data import Source, split
from sslfast.errors import UsageError


def source(labels):
    """Makes a source whose images show their own position."""
    positions = np.arange(len(labels))
    images = np.broadcast_to(positions[:, None, None, None], (len(labels), 1, 1, 3)).astype(np.uint8)
    return Source("test", labels=np.asarray(labels), classes=["a", "b", "c", "d"], images=images)


def positions(part):
    return part.images[:, 0, 0, 0]


@given(
    labels=st.lists(st.integers(0, 3), min_size=3, max_size=200),
    fraction=st.floats(0.01, 0.6),
)
def test_every_class_gives_its_share(labels, fraction):
    whole = source(labels)
    train, val = split(whole, fraction)
    assert len(val) == max(1, round(fraction * len(labels)))
    assert sorted([*positions(train), *positions(val)]) == list(range(len(labels)))
    share = len(val) / len(labels)
    for label in range(4):
        assert abs((val.labels == label).sum() - share * labels.count(label)) <= 1
    for part in (train, val):
        assert (part.labels == whole.labels[positions(part)]).all()
        assert (np.diff(positions(part).astype(int)) > 0).all()


def test_many_small_classes_still_give_some():
    """Rounding class by class would hold out nothing."""
    images = np.zeros((300, 1, 1, 3), dtype=np.uint8)
    whole = Source("test", labels=np.arange(300) // 3, classes=[str(i) for i in range(100)], images=images)
    _, val = split(whole, 0.1)
    assert len(val) == 30
    assert np.bincount(val.labels).max() == 1


def test_the_same_every_time_and_not_the_first_of_each_class():
    whole = source([0] * 50 + [1] * 50)
    first, second = split(whole, 0.2)[1], split(whole, 0.2)[1]
    assert (positions(first) == positions(second)).all()
    assert positions(first)[first.labels == 0].max() > 10


def test_without_labels():
    whole = source([0] * 40)
    whole.labels = None
    train, val = split(whole, 0.25)
    assert len(val) == 10
    assert len(set(positions(train)) | set(positions(val))) == 40


def test_nothing_held_out():
    train, val = split(source([0, 1]), 0)
    assert (len(train), len(val)) == (2, 0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0])
def test_shares_out_of_range(fraction):
    with pytest.raises(UsageError, match=r"expected a share in \[0, 1\), got"):
        split(source([0, 1, 2]), fraction)


def test_too_few_images():
    with pytest.raises(UsageError, match="1 images are too few"):
        split(source([0]), 0.1)
