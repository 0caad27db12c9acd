"""The order of an epoch on the device that needs it: the host's."""

import pytest
import torch

from sslfast.random.on_device import samples_itself, shuffled
from sslfast.random.philox import permutation


def test_the_device_may_be_the_host():
    cpu = torch.device("cpu")
    assert not samples_itself(cpu)
    assert torch.equal(shuffled(1, 2, 50, cpu), torch.from_numpy(permutation(1, 2, 50)))


@pytest.mark.gpu
def test_a_gpu_shuffles_itself_and_is_never_waited_for():
    device = torch.device("cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        order = shuffled(1, 2, 50, device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(order.cpu(), torch.from_numpy(permutation(1, 2, 50)))
