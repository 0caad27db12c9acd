"""MoCo v1 and v2 against a plain transcription of the paper's algorithm 1."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import EncoderConfig, load_config
from sslfast.data import Batch
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.methods.moco import default_queue_size

KEEP, SKIP = torch.tensor(False), torch.tensor(True)


def build(name="moco_v2", **settings):
    torch.manual_seed(0)
    method = METHODS[name]
    config = method.Config(name=name, **{"dim": 8, "hidden": 16, "queue_size": 32, "momentum": 0.9, **settings})
    return method(config, build_encoder(EncoderConfig(stem="cifar", width=0.125)), images=64, batch_size=8)


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


@pytest.mark.parametrize("symmetric", [False, True])
def test_accuracy_is_how_often_the_own_key_comes_first(symmetric):
    method, data = build(symmetric=symmetric), batch()
    directions = [data.views, data.views[::-1]][: 1 + symmetric]
    first = []
    for query_view, key_view in directions:
        _, query_network, k = transcription(method, query_view, key_view)
        q = F.normalize(query_network(query_view), dim=1)
        first.append((q * k).sum(1) >= (q @ method.queue.keys.T).amax(1))
    _, metrics = method.loss(data)
    assert list(metrics) == ["accuracy"]
    assert not metrics["accuracy"].requires_grad
    assert metrics["accuracy"] == torch.cat(first).float().mean()
    assert 0 < metrics["accuracy"] < 1


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
        images=64,
        batch_size=8,
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


@pytest.mark.parametrize(
    ("images", "size"),
    [(1_281_167, 65536), (50_000, 4096), (45_000, 4096), (4500, 512), (4096, 512), (4095, 256), (461, 128)],
)
def test_the_queue_holds_an_eighth_of_the_images_by_default(images, size):
    assert default_queue_size(images, keys_of_step=128) == size
    assert len(build(queue_size=None).queue.keys) == 8
    assert len(build(queue_size=None, symmetric=True).queue.keys) == 16


def test_the_momentum_may_rise_to_one():
    method = build(momentum=0.5, momentum_schedule="cosine")
    method.loss(batch())
    before = copy.deepcopy(method.key_network.state_dict())
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(1.0)
    method.after_step(10, 10, KEEP)  # the end of training: the key network stands still
    for name, value in method.key_network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["method.queue_size=64"], "queue_size=64: expected at least the 256 keys of a step"),
        (["method.queue_size=128", "method.symmetric=true"], "queue_size=128: expected at least the 256 keys"),
    ],
)
def test_a_queue_smaller_than_a_step_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        METHODS["moco_v2"].check(load_config("moco_v2_cifar10", settings))
