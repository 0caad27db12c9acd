"""MoCo v1 and v2 against a plain transcription of the paper's algorithm 1."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import EncoderConfig
from sslfast.distributed import shuffle
from sslfast.encoders.norm import synchronized
from sslfast.errors import UsageError
from sslfast.methods.parts import negatives
from tests.methods.harness import KEEP, SKIP, after_step, build_method, tiny_batch
from tests.methods.moco import moco_transcription


def build(name="moco_v2", **settings):
    return build_method(name, **{"dim": 8, "hidden": 16, "queue_size": 32, "momentum": 0.9, **settings})


@pytest.mark.parametrize("name", ["moco_v1", "moco_v2"])
def test_loss_and_gradients_equal_the_transcription(name):
    method, data = build(name), tiny_batch()
    expected, network, _ = moco_transcription(method, *data.views)
    expected.backward()
    loss, *_ = method.loss(data)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    trained = [*method.encoder.parameters(), *method.head.parameters()]
    for ours, theirs in zip(trained, network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_the_head_may_be_deeper():
    widths = [layer.out_features for layer in build(layers=4).head if isinstance(layer, torch.nn.Linear)]
    assert widths == [16, 16, 16, 8]
    assert len(build("moco_v1", hidden=0, layers=4).head) == 1


@pytest.mark.parametrize("symmetric", [False, True])
def test_accuracy_is_how_often_the_own_key_comes_first(symmetric):
    method, data = build(symmetric=symmetric), tiny_batch()
    directions = [data.views, data.views[::-1]][: 1 + symmetric]
    first = []
    for query_view, key_view in directions:
        _, query_network, k = moco_transcription(method, query_view, key_view)
        q = F.normalize(query_network(query_view), dim=1)
        first.append((q * k).sum(1) >= (q @ method.queue.keys.T).amax(1))
    _, metrics, _ = method.loss(data)
    assert list(metrics) == ["accuracy"]
    assert not metrics["accuracy"].requires_grad
    assert metrics["accuracy"] == torch.cat(first).float().mean()
    assert 0 < metrics["accuracy"] < 1


def test_symmetric_loss_is_the_mean_of_both_directions():
    method, data = build(symmetric=True), tiny_batch()
    one, _, keys_of_second = moco_transcription(method, *data.views)
    two, _, keys_of_first = moco_transcription(method, *reversed(data.views))
    loss, _, kept = method.loss(data)
    torch.testing.assert_close(loss, (one + two) / 2)
    after_step(method, kept, 0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:16], torch.cat([keys_of_second, keys_of_first]))


def test_the_key_network_receives_no_gradient():
    method = build()
    method.loss(tiny_batch())[0].backward()
    assert all(p.grad is None for p in method.key_network.parameters())
    assert not any(p.requires_grad for p in method.key_network.parameters())


def test_a_step_moves_queue_and_key_network_as_prescribed():
    method, data = build(), tiny_batch()
    _, _, keys = moco_transcription(method, *data.views)
    old_queue, old_key = method.queue.keys.clone(), copy.deepcopy(method.key_network.module)
    *_, kept = method.loss(data)
    torch.testing.assert_close(method.queue.keys, old_queue, rtol=0, atol=0)  # the positive is no negative
    with torch.no_grad():
        for p in [*method.encoder.parameters(), *method.head.parameters()]:
            p.add_(1.0)  # an optimizer's step
    after_step(method, kept, 0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:8], keys)
    torch.testing.assert_close(method.queue.keys[8:], old_queue[8:], rtol=0, atol=0)
    trained = [*method.encoder.parameters(), *method.head.parameters()]
    for now, before, query in zip(method.key_network.parameters(), old_key.parameters(), trained, strict=True):
        torch.testing.assert_close(now, 0.9 * before + 0.1 * query)


def test_a_skipped_step_moves_nothing():
    method = build()
    before = copy.deepcopy({k: v for k, v in method.state_dict().items() if "running" not in k})
    *_, kept = method.loss(tiny_batch())
    after_step(method, kept, 0, 1, SKIP)
    for key, value in before.items():
        if "num_batches" not in key:
            torch.testing.assert_close(method.state_dict()[key], value, rtol=0, atol=0, msg=key)


def test_a_positive_shares_no_batch_statistics_under_split_norm():
    """The keys are shuffled before they are split: an unshuffled key network would give other keys."""
    encoder = EncoderConfig(stem="cifar", width=0.125, norm="split", norm_splits=4)
    method = build_method("moco_v2", dim=8, hidden=16, queue_size=32, encoder=encoder)
    _, _, unshuffled = moco_transcription(method, *tiny_batch().views)
    *_, kept = method.loss(tiny_batch())
    after_step(method, kept, 0, 1, KEEP)
    assert not torch.allclose(method.queue.keys[:8], unshuffled, atol=1e-4)
    # In evaluation mode no statistics are shared, and every key must be back at its own image's place.
    method.eval()
    _, _, expected = moco_transcription(method, *tiny_batch().views)
    *_, kept = method.loss(tiny_batch())
    torch.testing.assert_close(kept.rows, expected)


@pytest.mark.parametrize("name", ["moco_v2", "densecl", "lewel_m"])
def test_under_split_norm_the_head_is_split_too(name):
    """Each part of the batch goes through encoder and head as if it were alone, as on a device of its own."""
    split, plain = (
        build(name, head_norm=True, encoder=EncoderConfig(stem="cifar", width=0.125, norm=norm, norm_splits=4))
        for norm in ("split", "batch")
    )
    plain.load_state_dict(split.state_dict())
    (view, _) = tiny_batch().views
    embed = split.negatives.embed
    embeddings = embed(split.encoder, split.head, view)
    parts = [embed(plain.encoder, plain.head, part) for part in view.chunk(4)]
    for whole, of_parts in zip(embeddings, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.cat(of_parts))


def test_the_queue_holds_an_eighth_of_the_images_by_default():
    assert len(build(queue_size=None).queue.keys) == 8
    assert len(build(queue_size=None, symmetric=True).queue.keys) == 16


def test_the_momentum_may_rise_to_one():
    method = build(momentum=0.5, momentum_schedule="cosine")
    *_, kept = method.loss(tiny_batch())
    before = copy.deepcopy(method.key_network.state_dict())
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(1.0)
    after_step(method, kept, 10, 10, KEEP)  # the end of training: the key network stands still
    for name, value in method.key_network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_queue_that_batches_do_not_fill_is_refused():
    with pytest.raises(UsageError, match=r"queue_size=24: expected a multiple of the 16 keys of a step; take 32"):
        build(queue_size=24, symmetric=True)
    assert build(queue_size=24).queue.size == 24


@pytest.mark.parametrize(
    ("norm", "head_norm", "shuffled"),
    [("batch", False, True), ("layer", False, False), ("sync", True, False), ("layer", True, True)],
)
def test_images_are_shuffled_where_a_rank_has_statistics_of_its_own(norm, head_norm, shuffled, monkeypatch):
    calls = []
    monkeypatch.setattr(negatives, "shuffle", lambda view: calls.append(True) or shuffle(view))
    encoder = EncoderConfig(stem="cifar", width=0.125, norm=norm)
    method = build_method("moco_v2", dim=8, hidden=16, queue_size=32, encoder=encoder, head_norm=head_norm)
    if norm == "sync":
        method = synchronized(method, torch.device("cpu"))
    *_, kept = method.loss(tiny_batch())
    assert bool(calls) == shuffled
    expected = method.negatives.embed(*method.key_network.module.children(), tiny_batch().views[1])[0]
    if not shuffled:
        torch.testing.assert_close(kept.rows, expected)
