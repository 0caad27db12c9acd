"""SwAV against a plain transcription of the paper's listing 1."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from tests.methods.harness import BATCH, KEEP, SIDE, SKIP, build_method, tiny_batch

SETTINGS = {"dim": 8, "hidden": 16, "prototypes": 12, "queue_size": 16, "queue_epoch": 2}


def data(views=4):
    return DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()] * views)


def build(**settings):
    return build_method("swav", data=data(), **{**SETTINGS, **settings})


def crops(epoch=1, seed=1):
    """Draws two global crops of 16 pixels and two local ones of 8."""
    whole, small = tiny_batch(2, epoch=epoch, seed=seed), tiny_batch(2, side=8, seed=seed + 100)
    return replace(whole, views=whole.views + small.views)


def embeddings(method, batch):
    """Embeds crops: each size passes the encoder by itself, all pass the head together."""
    network = copy.deepcopy(method)
    features = [network.encoder(torch.cat(batch.views[:2])), network.encoder(torch.cat(batch.views[2:]))]
    z = F.normalize(network.head(torch.cat(features)), dim=1)
    return z, network


@pytest.mark.parametrize("name", ["swav", "deepcluster_v2"])
def test_the_head_is_that_of_the_code(name):
    clusters = {"prototypes": 12, "queue_size": 0} if name == "swav" else {"clusters": (12,)}
    head = build_method(name, data=data(), dim=8, hidden=16, **clusters).head
    assert [type(layer).__name__ for layer in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert (head[0].out_features, head[-1].out_features) == (16, 8)


def sinkhorn(scores, epsilon=0.05, iterations=3):
    q = torch.exp(scores.double() / epsilon).T
    q = q / q.sum()
    k, b = q.shape
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / k
        q = q / q.sum(dim=0, keepdim=True) / b
    return (q * b).T


def transcription(method, batch, queued=None):
    z, network = embeddings(method, batch)
    z = z.chunk(4)
    loss = 0.0
    for i in range(2):
        scores = z[i].detach() if queued is None else torch.cat([z[i].detach(), queued[i]])
        codes = sinkhorn(scores @ network.prototypes.detach().T)[:BATCH]
        if method.config.codes == "discrete":
            codes = F.one_hot(codes.argmax(1), codes.shape[1])
        for v in range(4):
            if v != i:
                log_p = F.log_softmax(z[v] @ network.prototypes.T / 0.1, dim=1)
                loss = loss - (codes * log_p).sum(1).mean() / (2 * 3)
    return loss, network


@pytest.mark.parametrize(("epoch", "codes"), [(0, "continuous"), (1, "continuous"), (1, "discrete")])
def test_loss_and_gradients_equal_the_transcription(epoch, codes):
    method, batch = build(codes=codes), crops(epoch)
    expected, network = transcription(method, batch)
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected, check_dtype=False)
    for (name, ours), theirs in zip(method.named_parameters(), network.parameters(), strict=True):
        if name == "prototypes" and epoch == 0:
            assert ours.grad is None  # frozen in the first epoch
        else:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_the_prototypes_are_frozen_as_long_as_asked():
    method = build(frozen_epochs=3)
    method.loss(crops(epoch=2))[0].backward()
    assert method.prototypes.grad is None
    method.loss(crops(epoch=3))[0].backward()
    assert method.prototypes.grad.abs().max() > 0


def test_the_prototypes_are_normalized_after_a_step_unless_it_is_skipped():
    method = build()
    torch.testing.assert_close(method.prototypes.norm(dim=1), torch.ones(12))
    with torch.no_grad():
        method.prototypes.mul_(3)
    before = method.prototypes.clone()
    *_, kept = method.loss(crops())
    method.after_step(kept, 0, 1, SKIP)
    assert torch.equal(method.prototypes, before)
    method.after_step(kept, 0, 1, KEEP)
    torch.testing.assert_close(method.prototypes, before / 3)


def test_the_queue_fills_from_its_epoch_on_and_counts_once_it_is_full():
    method = build()
    method.eval()  # so that batches have the same embeddings in whatever order
    *_, kept = method.loss(crops(epoch=1))
    method.after_step(kept, 0, 9, KEEP)
    assert method.queue.filled == 0
    queued = []
    for seed in (1, 2):
        batch = crops(epoch=2, seed=seed)
        loss, _, kept = method.loss(batch)
        torch.testing.assert_close(loss, transcription(method, batch)[0], check_dtype=False)  # not full yet
        queued.append(embeddings(method, batch)[0].detach().chunk(4)[:2])
        method.after_step(kept, 0, 9, KEEP)
    assert method.queue.filled == 16
    with torch.no_grad():  # scores are those against the prototypes of today
        method.prototypes.copy_(F.normalize(torch.randn(12, 8), dim=1))
    batch = crops(epoch=2, seed=3)
    expected, _ = transcription(method, batch, [torch.cat(crop) for crop in zip(*queued, strict=True)])
    loss, *_ = method.loss(batch)
    torch.testing.assert_close(loss, expected, check_dtype=False)
    assert not torch.allclose(loss, transcription(method, batch)[0].float(), rtol=1e-3)


def test_a_skipped_step_enqueues_nothing():
    method = build(queue_epoch=0)
    *_, kept = method.loss(crops())
    method.after_step(kept, 0, 1, SKIP)
    assert method.queue.filled == 0


def test_without_a_queue():
    method, batch = build(queue_size=0, queue_epoch=0), crops()
    assert method.queue is None
    loss, _, kept = method.loss(batch)
    torch.testing.assert_close(loss, transcription(method, batch)[0], check_dtype=False)
    method.after_step(kept, 0, 1, KEEP)


def test_the_loss_is_the_same_for_any_order_of_images_and_of_global_crops():
    method, batch = build().eval(), crops()
    loss, *_ = method.loss(batch)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(0))
    permuted = replace(batch, views=tuple(view[order] for view in batch.views), index=batch.index[order])
    torch.testing.assert_close(method.loss(permuted)[0], loss)
    one, two, *small = batch.views
    torch.testing.assert_close(method.loss(replace(batch, views=(two, one, *small)))[0], loss)


def test_settings_of_the_assignment_change_it():
    losses = [build(**changed).loss(crops())[0].item() for changed in ({}, {"epsilon": 0.5}, {"iterations": 1})]
    assert len(set(losses)) == 3


@pytest.mark.parametrize(
    ("views", "settings", "message"),
    [
        (1, {}, r"data.views: expected at least 2 views, and the method.global_crops=2 first among them, got 1"),
        (2, {"global_crops": 3}, r"the method.global_crops=3 first among them, got 2"),
        (2, {"prototypes": 65}, r"method.prototypes=65: expected at most as many as the 64 images"),
        (2, {"queue_size": 12}, r"method.queue_size=12: expected a multiple of the 8 keys of a step; take 16"),
    ],
)
def test_settings_that_cannot_work_are_refused(views, settings, message):
    with pytest.raises(UsageError, match=message):
        build_method("swav", data=data(views), **{**SETTINGS, **settings})
