"""The queue against a Python list, the moving average against its formula."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sslfast.errors import UsageError
from sslfast.methods.parts.momentum_copy import MomentumCopy
from sslfast.methods.parts.queue import Queue, queue_size


def numbered(start: int, count: int, dim: int = 3) -> torch.Tensor:
    return torch.arange(start, start + count, dtype=torch.float32)[:, None].expand(count, dim)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_queue_holds_the_latest_keys(data):
    size = data.draw(st.integers(1, 9))
    queue = Queue(size, 3)
    model = queue.keys[:, 0].tolist()  # the row that is written next comes first
    enqueued = 0
    for _ in range(data.draw(st.integers(1, 8))):
        count = data.draw(st.integers(0, size))
        skip = data.draw(st.sampled_from([None, False, True]))
        flag = None if skip is None else torch.tensor(skip)
        keys = numbered(enqueued, count)
        queue.enqueue(keys / 0 if skip else keys, skip=flag)
        if not skip:
            model = (model + keys[:, 0].tolist())[count:]
            enqueued += count
        assert queue.keys.roll(-queue.pointer.item(), 0)[:, 0].tolist() == model
        assert queue.filled.item() == min(enqueued, size)


def test_queue_starts_with_seeded_unit_vectors():
    torch.manual_seed(3)
    first = Queue(64, 8)
    torch.manual_seed(3)
    assert torch.equal(first.keys, Queue(64, 8).keys)
    torch.testing.assert_close(first.keys.norm(dim=1), torch.ones(64))
    assert first.keys.dtype == torch.float32
    assert not first.keys.requires_grad


def test_queue_round_trips_through_its_state():
    queue, other = Queue(5, 3), Queue(5, 3)
    queue.enqueue(numbered(0, 4))
    other.load_state_dict(copy.deepcopy(queue.state_dict()))
    for either in (queue, other):
        either.enqueue(numbered(10, 3))
    for key, value in queue.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


def test_queue_takes_half_precision_and_keys_with_gradient():
    queue = Queue(4, 3)
    queue.enqueue(torch.full((2, 3), 0.5, dtype=torch.bfloat16, requires_grad=True))
    assert queue.keys.dtype == torch.float32
    assert not queue.keys.requires_grad
    assert queue.keys[:2].eq(0.5).all()


@pytest.mark.parametrize("shape", [(6, 3), (2, 4), (3,), (), (1, 2, 3)])
def test_queue_refuses_keys_that_do_not_fit(shape):
    queue = Queue(5, 3)
    with pytest.raises(ValueError, match=r"Queue.enqueue: expected keys of shape \(N <= 5, 3\), got"):
        queue.enqueue(torch.zeros(shape))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def disturb(module: nn.Module) -> None:
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor += 1


@pytest.mark.parametrize("buffers", ["own", "ema"])
@pytest.mark.parametrize("momentum", [0.9, torch.tensor(0.9)], ids=["float", "tensor"])
def test_moving_average_follows_its_formula(buffers, momentum):
    source = network()
    follower = MomentumCopy(source, buffers=buffers)
    before = {name: tensor.clone() for name, tensor in follower.module.state_dict().items()}
    for _ in range(2):
        disturb(source)
        follower.update(momentum)
        now = source.state_dict()
        for name, _ in source.named_parameters():
            before[name] = 0.9 * before[name] + 0.1 * now[name]
        for name, _ in source.named_buffers():
            if buffers == "ema" and name.endswith(("mean", "var")):
                before[name] = 0.9 * before[name] + 0.1 * now[name]
            elif buffers != "own":
                before[name] = now[name]
    for name, tensor in follower.module.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


@pytest.mark.parametrize("buffers", ["own", "ema"])
def test_a_skipped_update_changes_no_bit(buffers):
    source = network()
    follower = MomentumCopy(source, buffers=buffers)
    disturb(source)
    follower.update(0.9)
    before = copy.deepcopy(follower.state_dict())
    source[1].running_mean.fill_(math.nan)
    follower.update(0.9, skip=torch.tensor(True))
    for name, tensor in follower.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_an_update_that_is_not_skipped_is_an_update():
    source = network()
    one, other = MomentumCopy(source), MomentumCopy(source)
    disturb(source)
    one.update(0.9)
    other.update(0.9, skip=torch.tensor(False))
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    assert not torch.equal(other.module[0].weight, source[0].weight)


def test_the_copy_has_no_gradient_and_does_not_hold_its_source():
    source = network()
    follower = MomentumCopy(source)
    assert not any(p.requires_grad for p in follower.parameters())
    assert not follower(torch.randn(2, 4)).requires_grad
    assert all(name.startswith("module.") for name in follower.state_dict())
    assert all(p.requires_grad for p in source.parameters())


def test_buffers_of_its_own_come_from_its_own_batches():
    source = network()
    follower = MomentumCopy(source)
    follower(torch.randn(8, 4))
    moved = follower.module[1].running_mean.clone()
    assert not torch.equal(moved, source[1].running_mean)
    follower.update(0.5)
    assert torch.equal(follower.module[1].running_mean, moved)


def test_averaged_buffers_are_used_and_move_with_the_average_alone():
    source = network()
    follower = MomentumCopy(source, buffers="ema")
    disturb(source)
    follower.update(0.9)
    both, x = nn.ModuleList([source, follower]).train(), torch.randn(8, 4)
    before = copy.deepcopy(follower.state_dict())
    output = follower(x)
    torch.testing.assert_close(follower.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(output, copy.deepcopy(follower.module).eval()(x))
    assert source.training
    assert not both.eval()[1].module.training


def test_update_follows_buffers_that_a_move_has_replaced():
    source = network()
    follower = MomentumCopy(source, buffers="ema")
    both = nn.ModuleList([source, follower])
    follower.update(0.5)
    both.double()
    disturb(source)
    follower.update(0.0)
    torch.testing.assert_close(follower.module.state_dict(), source.state_dict())


def test_a_momentum_of_one_stops_the_average():
    source = network()
    follower = MomentumCopy(source)
    before = copy.deepcopy(follower.state_dict())
    disturb(source)
    follower.update(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in follower.state_dict().items())


@pytest.mark.parametrize(
    ("images", "size"),
    [(1_281_167, 65536), (50_000, 4096), (45_000, 4096), (4500, 512), (4096, 512), (4095, 256), (461, 128)],
)
def test_a_queue_holds_an_eighth_of_the_images_by_default(images, size):
    assert queue_size(None, 128, images) == size


def test_a_queue_holds_whole_batches():
    assert queue_size(None, 100, 45_000) == 4000
    assert queue_size(512, 128, 100) == 512
    with pytest.raises(UsageError, match="queue_size=500: expected a multiple of the 128 keys .*; take 512"):
        queue_size(500, 128, 45_000)
