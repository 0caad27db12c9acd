"""The draws on the device are those on the host."""

import numpy as np
import pytest
import torch
from scipy import stats

from sslfast.random.key import FIRST_STREAM, STREAMS_PER_VIEW, Stream
from sslfast.random.philox import uniform
from sslfast.views import Key


@pytest.mark.parametrize("seed", [0, 12345, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "view", "count"), [(0, 0, 1), (2**32 - 1, 7, 9)])
def test_uniform_is_the_hosts_bit_for_bit(seed, epoch, view, count):
    index = torch.tensor([0, 1, 49_999, 2**32 - 1])
    stream = FIRST_STREAM + view * STREAMS_PER_VIEW + Stream.PLACE
    expected = uniform(seed, epoch, index.numpy(), stream, count)
    for given in (epoch, torch.tensor(epoch)):
        drawn = Key(seed, given, index, view).uniform(Stream.PLACE, count)
        np.testing.assert_array_equal(drawn.numpy(), expected)


def test_streams_of_a_view_do_not_reach_the_next_views():
    assert len(Stream) <= STREAMS_PER_VIEW
    assert len(set(Stream)) == len(Stream)


def test_integers_are_uniform_below_their_bounds(key):
    bounds = torch.tensor([1, 3, 50])
    drawn = key(batch=4000).integers(Stream.CELL, bounds, 3)
    assert drawn.dtype == torch.int64
    for column, bound in zip(drawn.T, bounds.tolist(), strict=True):
        counts = column.bincount(minlength=bound)
        assert len(counts) == bound
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3 or bound == 1


def test_normal_is_normal(key):
    drawn = key(batch=500).normal(Stream.NOISE, 4, 5)
    assert drawn.shape == (500, 4, 5)
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(drawn.flatten(1).T.numpy())[0, 1]) < 0.15
