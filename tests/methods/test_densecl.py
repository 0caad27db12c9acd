"""DenseCL against a plain transcription of the paper's equations 2 to 5."""

import copy

import pytest
import torch
import torch.nn.functional as F

from tests.methods.harness import KEEP, SKIP, after_step, build_method, tiny_batch


def build(**settings):
    return build_method("densecl", **{"dim": 8, "hidden": 16, "queue_size": 32, "momentum": 0.9, **settings})


def info_nce(q, positive, queue, temperature):
    logits = torch.cat([(q @ positive)[None], queue @ q]) / temperature
    return F.cross_entropy(logits, torch.tensor(0))


def transcription(method, view1, view2):
    """Computes the loss, the networks it trains, and the two keys of each image."""
    encoder, head = copy.deepcopy((method.encoder, method.head))
    key_encoder, key_head = copy.deepcopy(method.key_network.module)
    t, lam = method.config.temperature, method.config.lam

    def outputs(encoder, head, view):
        features = encoder(view, dense=True)
        z = head[0](F.adaptive_avg_pool2d(features, 1).flatten(1))
        pixels = features.flatten(2).transpose(1, 2)
        return z, head[1](pixels.reshape(-1, pixels.shape[2])).view(*pixels.shape[:2], -1), pixels

    q, q_dense, q_features = outputs(encoder, head, view1)
    with torch.no_grad():
        k, k_dense, k_features = outputs(key_encoder, key_head, view2)
    k, k_mean = F.normalize(k, dim=1), F.normalize(k_dense.mean(1), dim=1)
    total, dense = [], []
    for n in range(len(q)):
        total.append(info_nce(F.normalize(q[n], dim=0), k[n], method.queue.keys, t))
        for s in range(q_dense.shape[1]):  # c_s = argmax_i sim(f_s, f'_i)
            c = F.cosine_similarity(q_features[n, s][None], k_features[n], dim=1).argmax()
            r, positive = F.normalize(q_dense[n, s], dim=0), F.normalize(k_dense[n, c], dim=0)
            dense.append(info_nce(r, positive, method.dense_queue.keys, t))
    loss = (1 - lam) * torch.stack(total).mean() + lam * torch.stack(dense).mean()
    return loss, [encoder, head], k, k_mean


@pytest.mark.parametrize("settings", [{"lam": 0.0}, {"lam": 0.3}, {"lam": 1.0}, {"head_norm": True}], ids=str)
def test_loss_and_gradients_equal_the_transcription(settings):
    method, batch = build(**settings).double(), tiny_batch(dtype=torch.float64)
    expected, networks, _, _ = transcription(method, *batch.views)
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip([method.encoder, method.head], networks, strict=True):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad)
    assert all(p.grad is None for p in method.key_network.parameters())


def test_lambda_is_0_in_the_epochs_of_the_warm_up():
    warming, without = build(warmup_epochs=2, lam=1.0), build(lam=0.0)
    for epoch in (0, 1):
        batch = tiny_batch(epoch=epoch)
        torch.testing.assert_close(warming.loss(batch)[0], without.loss(batch)[0], rtol=0, atol=0)
    batch = tiny_batch(epoch=2)
    torch.testing.assert_close(warming.loss(batch)[0], build(lam=1.0).loss(batch)[0], rtol=0, atol=0)


def test_both_queues_take_the_keys_of_the_step_after_their_loss():
    method, batch = build(), tiny_batch()
    _, _, keys, mean_keys = transcription(method, *batch.views)
    queues = {method.queue: keys, method.dense_queue: mean_keys}
    before = {queue: queue.keys.clone() for queue in queues}
    *_, kept = method.loss(batch)
    for queue, old in before.items():
        torch.testing.assert_close(queue.keys, old, rtol=0, atol=0)
    after_step(method, kept, 0, 1, KEEP)
    for queue, new in queues.items():
        torch.testing.assert_close(queue.keys[:8], new)
        torch.testing.assert_close(queue.keys[8:], before[queue][8:], rtol=0, atol=0)


def test_a_symmetric_loss_is_the_mean_of_both_directions_and_enqueues_both():
    method, batch = build(symmetric=True), tiny_batch()
    one, _, keys_of_second, means_of_second = transcription(method, *batch.views)
    two, _, keys_of_first, means_of_first = transcription(method, *reversed(batch.views))
    loss, _, kept = method.loss(batch)
    torch.testing.assert_close(loss, (one + two) / 2)
    after_step(method, kept, 0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:16], torch.cat([keys_of_second, keys_of_first]))
    torch.testing.assert_close(method.dense_queue.keys[:16], torch.cat([means_of_second, means_of_first]))


def test_a_skipped_step_leaves_both_queues():
    method = build()
    before = copy.deepcopy([method.queue.state_dict(), method.dense_queue.state_dict()])
    *_, kept = method.loss(tiny_batch())
    after_step(method, kept, 0, 1, SKIP)
    after = [method.queue.state_dict(), method.dense_queue.state_dict()]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
