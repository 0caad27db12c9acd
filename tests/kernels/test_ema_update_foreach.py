"""Tests ema_update_ by PyTorch's multi-tensor kernels, the trainer's on a GPU: what it copies."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sslfast.kernels.ema_update import foreach, reference
from tests.kernels.ema import copies, randn


class Copies(TorchDispatchMode):
    """Counts the copies of single tensors."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in (torch.ops.aten.clone, torch.ops.aten.copy_)
        return func(*args, **(kwargs or {}))


def test_pytorchs_kernels_take_channels_last_weights_all_at_once():
    """The trainer's on a GPU, under a momentum that is a tensor."""
    shapes = [(8, 4, 3, 3), (8, 4, 1, 1), (8, 1, 3, 3), (8,), (8, 3), (), (0, 4, 3, 3)]
    targets, sources = ([randn(*shape, seed=seed) for shape in shapes] for seed in (0, 1))
    targets, sources = (
        [x.to(memory_format=torch.channels_last) if x.ndim == 4 else x for x in tensors]
        for tensors in (targets, sources)
    )
    momentum, expected = torch.tensor(0.3), copies(targets)
    reference.ema_update_(expected, sources, momentum)
    with Copies() as counted:
        averages = foreach._averages(targets, sources, momentum)
    assert counted.count == 0
    for average, target, want in zip(averages, targets, expected, strict=True):
        assert torch.equal(average, want)
        assert average.stride() == target.stride() or not target.numel()


class Crossings(TorchDispatchMode):
    """Collects the operations that copy from one device to another."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            self.names += [str(func)] * any(x.device != out.device for x in given)
        return out


@pytest.mark.parametrize("update", [reference.ema_update_, foreach.ema_update_], ids=["reference", "foreach"])
def test_pytorchs_kernels_copy_no_momentum_to_the_gpu(update):
    """The host would wait for it, and a CUDA graph cannot record it. Fake tensors are on a GPU without one."""
    with FakeTensorMode(), Crossings() as crossings:
        for dtype in (torch.float32, torch.bfloat16):
            targets, sources = [torch.empty(3, dtype=dtype, device="cuda")], [torch.empty(3, device="cuda")]
            update(targets, sources, 0.9)
    assert crossings.names == []
