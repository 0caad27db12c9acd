"""MSF against a plain transcription of its paper's equation and of its authors' code."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast.errors import UsageError
from tests.methods.harness import KEEP, SKIP, after_step, assert_equals_transcription, build_method, tiny_batch


def build(**settings):
    method = build_method("msf", **{"dim": 8, "hidden": 16, "queue_size": 32, **settings})
    with torch.no_grad():  # so that the target is some steps behind
        for parameter in [*method.encoder.parameters(), *method.projector.parameters()]:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method


def targets(method, data):
    with torch.no_grad():
        return F.normalize(method.target.module(data.views[1]), dim=1)


def msf(method, data):
    """Averages the squared distance to the target's k nearest neighbors (Koohpayegani et al. 2021, section 3)."""
    k, losses = method.config.neighbors, []
    predictions = F.normalize(method.predictor(method.projector(method.encoder(data.views[0]))), dim=1)
    for u, v in zip(targets(method, data), predictions, strict=True):
        bank = torch.cat([u[None], method.queue.keys])
        nearest = (bank - u).square().sum(dim=1).topk(k, largest=False).indices
        losses.append((bank[nearest] - v).square().sum(dim=1).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("settings", [{}, {"neighbors": 1}, {"neighbors": 2}, {"neighbors": 9}])
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(), msf)


def test_the_target_receives_no_gradient():
    method = build()
    method.loss(tiny_batch())[0].backward()
    assert not any(p.requires_grad or p.grad is not None for p in method.target.parameters())


def test_the_targets_join_the_queue_after_the_step_and_are_found_in_the_next():
    method, data = build(neighbors=2), tiny_batch()
    z, old = targets(copy.deepcopy(method), data), method.queue.keys.clone()
    *_, kept = method.loss(data)
    torch.testing.assert_close(method.queue.keys, old, rtol=0, atol=0)
    method.after_step(kept, 0, 1, SKIP)
    torch.testing.assert_close(method.queue.keys, old, rtol=0, atol=0)
    method.after_step(kept, 0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:8], z)
    torch.testing.assert_close(method.queue.keys[8:], old[8:], rtol=0, atol=0)
    torch.testing.assert_close(method._neighbors(z), torch.stack([z, z], dim=1))


def test_a_step_moves_the_target_by_its_momentum():
    method, data = build(momentum=0.9), tiny_batch()
    before = copy.deepcopy(method.target.module)
    *_, kept = method.loss(data)
    after_step(method, kept, 3, 12, KEEP)
    trained = [*method.encoder.parameters(), *method.projector.parameters()]
    for now, then, source in zip(method.target.parameters(), before.parameters(), trained, strict=True):
        torch.testing.assert_close(now, 0.9 * then + 0.1 * source)


def test_the_heads_are_those_of_the_code():
    method = build()
    for head in (method.projector, method.predictor):
        assert [type(layer) for layer in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
        assert head[-1].bias is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbors": 10}, r"neighbors=10: expected at most 9, the target and 8 of the queue's 32 rows"),
        ({"queue_size": 20}, r"queue_size=20: expected a multiple of the 8 keys of a step; take 24"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        build(**settings)
