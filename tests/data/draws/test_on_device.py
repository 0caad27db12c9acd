"""The draws of a view on the device that needs them: the host's."""

import pytest
import torch

from sslfast.config import ViewConfig
from sslfast.data.draws.on_device import view_sampler
from sslfast.data.draws.reference import sample_view

VIEW = ViewConfig(scale=(0.08, 1), brightness=0.8, contrast=1.2, hue=0.5, blur=0.5, solarize=0.3)
INDEX = torch.tensor([3, 0, 2**32 - 1, *range(40)])
EXPECTED = torch.from_numpy(sample_view(VIEW, 1, 2, INDEX.numpy(), 3, 20, 24).table())


def test_the_device_may_be_the_host():
    sample = view_sampler(VIEW, 1, 3, 20, 24, torch.device("cpu"))
    assert torch.equal(sample(2, INDEX), EXPECTED)


@pytest.mark.gpu
def test_a_gpu_samples_itself_and_is_never_waited_for():
    sample, index = view_sampler(VIEW, 1, 3, 20, 24, torch.device("cuda")), INDEX.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws = sample(2, index)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(draws.cpu(), EXPECTED)
