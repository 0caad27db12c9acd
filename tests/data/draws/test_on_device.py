"""The draws of a view on the device that needs them: the host's."""

import numpy as np
import pytest
import torch

from sslfast.config import ViewConfig
from sslfast.data.draws.on_device import view_sampler
from sslfast.data.draws.reference import sample_view

VIEW = ViewConfig(scale=(0.08, 1), brightness=0.8, contrast=1.2, hue=0.5, blur=0.5, solarize=0.3)
INDEX = torch.tensor([3, 0, 2**32 - 1, *range(40)])
ROWS = torch.arange(len(INDEX)).flip(0)
SIZES = {
    "one": np.array([[20, 24]]),
    "each its own": np.random.default_rng(0).integers(1, 100, (len(INDEX), 2)),
}


def expected(sizes):
    heights, widths = np.broadcast_to(sizes, (len(INDEX), 2))[ROWS].T
    return torch.from_numpy(sample_view(VIEW, 1, 2, INDEX.numpy(), 3, heights, widths).table())


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_the_device_may_be_the_host(sizes):
    sample = view_sampler(VIEW, 1, 3, sizes, torch.device("cpu"))
    assert torch.equal(sample(2, INDEX, ROWS), expected(sizes))


@pytest.mark.gpu
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_gpu_samples_itself_and_is_never_waited_for(sizes):
    sample, index, rows = view_sampler(VIEW, 1, 3, sizes, torch.device("cuda")), INDEX.cuda(), ROWS.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws = sample(2, index, rows)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(draws.cpu(), expected(sizes))
