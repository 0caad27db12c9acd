"""The random numbers of a key on the device: those on the host."""

import numpy as np
import pytest
import torch
from scipy import stats

from sslfast.random import key as key_module
from sslfast.random.key import FIRST_STREAM, STREAMS_PER_VIEW, Key, Stream
from sslfast.random.philox import uniform


@pytest.mark.parametrize("seed", [0, 12345, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "view", "count"), [(0, 0, 1), (2**32 - 1, 7, 9)])
def test_uniform_is_the_hosts_bit_for_bit(seed, epoch, view, count):
    index = torch.tensor([0, 1, 49_999, 2**32 - 1])
    stream = FIRST_STREAM + view * STREAMS_PER_VIEW + Stream.PLACE
    expected = uniform(seed, epoch, index.numpy(), stream, count)
    for given in (epoch, torch.tensor(epoch)):
        numbers = Key(seed, given, index, view).uniform(Stream.PLACE, count)
        np.testing.assert_array_equal(numbers.numpy(), expected)


# What Triton's interpreter makes numpy say.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:triton.runtime.interpreter")
@pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")
def test_a_kernel_samples_where_it_can(monkeypatch):
    triton_kernels = pytest.importorskip("sslfast.random.triton_kernels")
    key = Key(3, 2**31, torch.arange(5), view=2)
    expected = key.uniform(Stream.PLACE, 2, 3)
    calls = []
    sample = triton_kernels.uniform_draws
    monkeypatch.setattr(triton_kernels, "uniform_draws", lambda *args: calls.append(args) or sample(*args))
    monkeypatch.setattr(key_module, "samples_itself", lambda device: True)
    assert torch.equal(key.uniform(Stream.PLACE, 2, 3), expected)
    assert len(calls) == 1


def test_streams_of_a_view_do_not_reach_the_next_views():
    assert len(Stream) <= STREAMS_PER_VIEW
    assert len(set(Stream)) == len(Stream)


def test_integers_are_uniform_below_their_bounds(key):
    bounds = torch.tensor([1, 3, 50])
    numbers = key(batch=4000).integers(Stream.CELL, bounds, 3)
    assert numbers.dtype == torch.int64
    for column, bound in zip(numbers.T, bounds.tolist(), strict=True):
        counts = column.bincount(minlength=bound)
        assert len(counts) == bound
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3 or bound == 1


def test_normal_is_normal(key):
    numbers = key(batch=500).normal(Stream.NOISE, 4, 5)
    assert numbers.shape == (500, 4, 5)
    assert stats.kstest(numbers.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(numbers.flatten(1).T.numpy())[0, 1]) < 0.15
