"""The moving average against its formula."""

import copy
import math

import pytest
import torch
from torch import nn

from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig


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


@pytest.mark.parametrize(("schedule", "momentum"), [("constant", 0.6), ("cosine", 0.8)])
def test_the_settings_prescribe_the_momentum_of_a_step(schedule, momentum):
    config = MomentumCopyConfig(name="test", momentum=0.6, momentum_schedule=schedule)
    assert config.momentum_at(0, 10) == pytest.approx(0.6)
    assert config.momentum_at(5, 10) == pytest.approx(momentum)  # half way
