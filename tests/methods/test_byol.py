"""BYOL and MoCo v3 against plain transcriptions of their papers; the moving average that both follow."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.methods.harness import KEEP, SKIP, after_step, assert_equals_transcription, build_method, tiny_batch


def build(name="byol", **settings):
    return build_method(name, **{"dim": 8, "hidden": 16, "momentum": 0.9, **settings})


def outputs(method, data):
    """Computes predictions and targets of both views; targets are constants, unless gradient is to reach them."""
    online = nn.Sequential(method.encoder, method.projector, method.predictor)
    q1, q2 = (online(view) for view in data.views)
    if not method.config.stop_gradient:
        return q1, q2, *(online[:2](view) for view in data.views)
    with torch.no_grad():
        z1, z2 = (method.target.module(view) for view in data.views)
    return q1, q2, z1, z2


def byol(method, data):
    """Computes equation 2 of Grill et al. 2020 and the loss of both directions."""
    q1, q2, z1, z2 = outputs(method, data)

    def distance(q, z):
        return (F.normalize(q, dim=1) - F.normalize(z, dim=1)).square().sum(1).mean()

    return distance(q1, z2) + distance(q2, z1)


def moco_v3(method, data):
    """Runs algorithm 1 of Chen et al. 2021."""
    q1, q2, k1, k2 = outputs(method, data)
    t = method.config.temperature

    def ctr(q, k):
        logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / t
        return 2 * t * F.cross_entropy(logits, torch.arange(len(q)))

    return ctr(q1, k2) + ctr(q2, k1)


def trained(method):
    return [*method.encoder.parameters(), *method.projector.parameters()]


@pytest.fixture(params=["byol", "moco_v3"])
def moved(request):
    """Builds a method whose target is some steps behind."""
    method = build(request.param)
    with torch.no_grad():
        for p in trained(method):
            p.add_(0.1 * torch.randn_like(p))
    return method


def test_loss_and_gradients_equal_the_transcription(moved):
    assert_equals_transcription(moved, tiny_batch(), {"byol": byol, "moco_v3": moco_v3}[moved.config.name])


@pytest.mark.parametrize("settings", [{"temperature": 0.2}, {"layers": 3, "predictor_norm": True}])
def test_moco_v3_with_other_settings(settings):
    assert_equals_transcription(build("moco_v3", **settings), tiny_batch(), moco_v3)


def test_gradient_may_reach_the_target_which_is_then_the_online_network():
    method = build(stop_gradient=False)
    assert_equals_transcription(method, tiny_batch(), byol)
    assert method.momentum_copy() is None
    assert method.compiled() == [method.encoder]


def test_the_target_receives_no_gradient(moved):
    moved.loss(tiny_batch())[0].backward()
    assert not any(p.requires_grad or p.grad is not None for p in moved.target.parameters())


def test_a_step_moves_the_target_by_the_schedule(moved):
    before = copy.deepcopy(moved.target.module)
    after_step(moved, None, 3, 12, SKIP)
    for now, then in zip(moved.target.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0)
    after_step(moved, None, 3, 12, KEEP)
    tau = 1 - 0.1 * (math.cos(math.pi * 3 / 12) + 1) / 2  # section 3.2 of BYOL
    for now, then, online in zip(moved.target.parameters(), before.parameters(), trained(moved), strict=True):
        torch.testing.assert_close(now, tau * then + (1 - tau) * online)
    after_step(moved, None, 12, 12, KEEP)  # the momentum is 1 at the end
    for now, then, online in zip(moved.target.parameters(), before.parameters(), trained(moved), strict=True):
        torch.testing.assert_close(now, tau * then + (1 - tau) * online)


def test_the_momentum_may_be_constant():
    method = build(momentum_schedule="constant")
    before = copy.deepcopy(method.target.module)
    with torch.no_grad():
        for p in trained(method):
            p.add_(1.0)
    after_step(method, None, 11, 12, KEEP)
    for now, then in zip(method.target.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(now, then + 0.1)


def test_byol_reports_the_spread_of_the_targets():
    method, data = build(), tiny_batch()
    *_, z1, _ = outputs(method, data)
    _, metrics, _ = method.loss(data)
    torch.testing.assert_close(metrics["std"], F.normalize(z1, dim=1).std(0, correction=0).mean())


def test_moco_v3_reports_how_often_the_own_key_comes_first():
    method, data = build("moco_v3"), tiny_batch()
    q1, q2, k1, k2 = outputs(method, data)
    pairs = [(q1, k2), (q2, k1)]
    first = [(q @ F.normalize(k, dim=1).T).argmax(1) == torch.arange(8) for q, k in pairs]
    _, metrics, _ = method.loss(data)
    assert metrics["accuracy"] == torch.cat(first).float().mean()


def layers(network):
    return [type(layer).__name__ for layer in network]


def test_the_heads_of_byol_are_those_of_its_code():
    method = build()
    for head in (method.projector, method.predictor, method.target.module[1]):
        assert layers(head) == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        assert head[-1].bias is None


def test_the_heads_of_moco_v3_are_those_of_its_code():
    resnet, vit = build("moco_v3"), build("moco_v3", layers=3, predictor_norm=True)
    assert layers(resnet.projector) == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert layers(resnet.predictor) == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert layers(vit.projector) == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert layers(vit.predictor) == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    for head in (resnet.projector, vit.projector, vit.predictor):
        assert not head[-1].affine
    for head in (resnet.projector, resnet.predictor, vit.predictor):
        assert all(layer.bias is None for layer in head if isinstance(layer, nn.Linear))
