"""MoCo v1 and v2 against a plain transcription of the paper's algorithm 1."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import EncoderConfig
from sslfast.data import Batch
from sslfast.encoders import build_encoder
from sslfast.methods import METHODS

KEEP, SKIP = torch.tensor(False), torch.tensor(True)


def build(name="moco_v2", **settings):
    torch.manual_seed(0)
    method = METHODS[name]
    config = method.Config(name=name, **{"dim": 8, "hidden": 16, "queue_size": 32, "momentum": 0.9, **settings})
    return method(config, build_encoder(EncoderConfig(stem="cifar", width=0.125)))


def batch(size=8):
    generator = torch.Generator().manual_seed(1)
    views = tuple(torch.randn(size, 3, 16, 16, generator=generator) for _ in range(2))
    return Batch(views=views, index=torch.arange(size), label=None)


def transcription(method, query_view, key_view):
    """Algorithm 1 of He et al. 2020, on copies of the networks."""
    query_network = copy.deepcopy(torch.nn.Sequential(method.encoder, method.head))
    key_network = copy.deepcopy(method.key_network.module)
    q = F.normalize(query_network(query_view), dim=1)
    k = F.normalize(key_network(key_view), dim=1).detach()
    l_pos = torch.einsum("nc,nc->n", q, k).unsqueeze(-1)
    l_neg = torch.einsum("nc,kc->nk", q, method.queue.keys)
    logits = torch.cat([l_pos, l_neg], dim=1) / method.config.temperature
    loss = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
    return loss, query_network, k


@pytest.mark.parametrize("name", ["moco_v1", "moco_v2"])
def test_loss_and_gradients_equal_the_transcription(name):
    method, data = build(name), batch()
    expected, network, _ = transcription(method, *data.views)
    expected.backward()
    loss, _ = method.loss(data)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    trained = [*method.encoder.parameters(), *method.head.parameters()]
    for ours, theirs in zip(trained, network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_symmetric_loss_is_the_mean_of_both_directions():
    method, data = build(symmetric=True), batch()
    one, _, keys_of_second = transcription(method, *data.views)
    two, _, keys_of_first = transcription(method, *reversed(data.views))
    loss, _ = method.loss(data)
    torch.testing.assert_close(loss, (one + two) / 2)
    method.after_step(0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:16], torch.cat([keys_of_second, keys_of_first]))


def test_the_key_network_receives_no_gradient():
    method = build()
    method.loss(batch())[0].backward()
    assert all(p.grad is None for p in method.key_network.parameters())
    assert not any(p.requires_grad for p in method.key_network.parameters())


def test_a_step_moves_queue_and_key_network_as_prescribed():
    method, data = build(), batch()
    _, _, keys = transcription(method, *data.views)
    old_queue, old_key = method.queue.keys.clone(), copy.deepcopy(method.key_network.module)
    method.loss(data)
    torch.testing.assert_close(method.queue.keys, old_queue, rtol=0, atol=0)  # the positive is no negative
    with torch.no_grad():
        for p in [*method.encoder.parameters(), *method.head.parameters()]:
            p.add_(1.0)  # an optimizer's step
    method.after_step(0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:8], keys)
    torch.testing.assert_close(method.queue.keys[8:], old_queue[8:], rtol=0, atol=0)
    trained = [*method.encoder.parameters(), *method.head.parameters()]
    for now, before, query in zip(method.key_network.parameters(), old_key.parameters(), trained, strict=True):
        torch.testing.assert_close(now, 0.9 * before + 0.1 * query)


def test_a_skipped_step_moves_nothing():
    method = build()
    before = copy.deepcopy({k: v for k, v in method.state_dict().items() if "running" not in k})
    method.loss(batch())
    method.after_step(0, 1, SKIP)
    for key, value in before.items():
        if "num_batches" not in key:
            torch.testing.assert_close(method.state_dict()[key], value, rtol=0, atol=0, msg=key)


def test_a_positive_shares_no_batch_statistics_under_split_norm():
    """The keys are shuffled before they are split: an unshuffled key network would give other keys."""
    torch.manual_seed(0)
    method = METHODS["moco_v2"](
        METHODS["moco_v2"].Config(name="moco_v2", dim=8, hidden=16, queue_size=32),
        build_encoder(EncoderConfig(stem="cifar", width=0.125, norm="split", norm_splits=4)),
    )
    _, _, unshuffled = transcription(method, *batch().views)
    method.loss(batch())
    method.after_step(0, 1, KEEP)
    assert not torch.allclose(method.queue.keys[:8], unshuffled, atol=1e-4)
    # In evaluation mode no statistics are shared, and every key must be back at its own image's place.
    method.eval()
    _, _, expected = transcription(method, *batch().views)
    method.loss(batch())
    torch.testing.assert_close(method._keys, expected)
