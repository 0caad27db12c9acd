"""MNCL against a plain transcription of the paper's algorithm 1."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sslfast.errors import UsageError
from tests.methods.combined_patches import SMALL, combined
from tests.methods.harness import KEEP, SKIP, after_step, build_method, tiny_batch


def build(**settings):
    return build_method("mncl", **{**SMALL, "queue_size": 32, **settings})


def neighbor(queue, z):
    queue, z = F.normalize(queue, dim=1), F.normalize(z, dim=1)
    return queue[(z @ queue.T).argmax(1)]


def contrast(targets, p, temperature):
    """Computes L(k, p); `targets` a list of (B, dim)."""
    p = F.normalize(p, dim=1)
    losses = [F.cross_entropy(F.normalize(k, dim=1) @ p.T / temperature, torch.arange(len(p))) for k in targets]
    return sum(losses) / len(losses)


def transcription(method, batch):
    """Computes the sums of the local and of the global terms, the trained networks, and z1 before the lookup."""
    x1, x2, x3 = batch.views
    online = copy.deepcopy(torch.nn.Sequential(method.encoder, method.projector, method.predictor))
    stopped = copy.deepcopy(online[:2])  # f_s holds what the trained networks hold
    momentum = copy.deepcopy(method.target.module)
    t = method.config.temperature
    p1, p2, p3 = online(x1), online(x2), online(x3)
    with torch.no_grad():
        z1, z2 = momentum(x1), momentum(x2)
        n1, n2 = neighbor(method.queue.keys, z1), neighbor(method.queue.keys, z2)
        c1, c3 = (
            stopped[1](torch.cat(combined(stopped[0], x, method.config.combine))).split(len(x1)) for x in (x1, x3)
        )
    local = contrast(c1, p3, t) + contrast(c3, p1, t)
    whole = contrast([n1], p2, t) + contrast([n2], p1, t)
    return local, whole, online, z1


@pytest.mark.parametrize("combine", [1, 2, 3, 4])
@pytest.mark.parametrize(("weighed", "reduction"), [("global", "sum"), ("local", "mean")])
def test_loss_and_gradients_equal_the_transcription(combine, weighed, reduction):
    method = build(combine=combine, weighed=weighed, reduction=reduction, lam=3.0, temperature=0.5).double()
    method.queue.keys = F.normalize(method.queue.keys, dim=1)  # in fp64 as well
    batch = tiny_batch(3, dtype=torch.float64)
    local, whole, online, _ = transcription(method, batch)
    if reduction == "mean":
        local, whole = local / 2, whole / 2
    expected = local + 3 * whole if weighed == "global" else whole + 3 * local
    expected.backward()
    loss, values, _ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(values["local_loss"], local.detach())
    torch.testing.assert_close(values["global_loss"], whole.detach())
    trained = [*method.encoder.parameters(), *method.projector.parameters(), *method.predictor.parameters()]
    for ours, theirs in zip(trained, online.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_only_the_back_propagation_network_receives_gradient():
    method = build()
    method.loss(tiny_batch(3))[0].backward()
    for network in (method.target, method.stopped):
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())


def test_a_step_moves_both_copies_and_enqueues_the_embedding_of_view_one():
    method, batch = build(), tiny_batch(3)
    *_, z1 = transcription(method, batch)
    queue, momentum = method.queue.keys.clone(), copy.deepcopy(method.target.module)
    *_, kept = method.loss(batch)
    torch.testing.assert_close(method.queue.keys, queue, rtol=0, atol=0)
    trained = [*method.encoder.parameters(), *method.projector.parameters()]
    with torch.no_grad():
        for p in trained:
            p.add_(1.0)  # an optimizer's step
    after_step(method, kept, 0, 1, KEEP)
    for now, before, source in zip(method.target.parameters(), momentum.parameters(), trained, strict=True):
        torch.testing.assert_close(now, 0.9 * before + 0.1 * source)
    for now, source in zip(method.stopped.parameters(), trained, strict=True):
        torch.testing.assert_close(now, source, rtol=0, atol=0)
    torch.testing.assert_close(method.queue.keys[:8], F.normalize(z1, dim=1))
    torch.testing.assert_close(method.queue.keys[8:], queue[8:], rtol=0, atol=0)


def test_a_skipped_step_leaves_all_copies_and_the_queue():
    method = build()
    *_, kept = method.loss(tiny_batch(3))
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.fill_(torch.nan)
    before = copy.deepcopy({**method.target.state_dict(), **method.queue.state_dict()})
    stopped = copy.deepcopy(method.stopped.state_dict())
    after_step(method, kept, 0, 1, SKIP)
    torch.testing.assert_close({**method.target.state_dict(), **method.queue.state_dict()}, before, rtol=0, atol=0)
    torch.testing.assert_close(method.stopped.state_dict(), stopped, rtol=0, atol=0)


def test_patches_leave_the_running_statistics_of_the_encoder_alone():
    """They are those of three whole views, whatever is drawn from patches."""
    method, batch = build(), tiny_batch(3)
    expected = copy.deepcopy(method.encoder)
    for view in batch.views:
        expected(view)
    method.loss(batch)
    torch.testing.assert_close(dict(method.encoder.named_buffers()), dict(expected.named_buffers()))


def test_the_order_of_the_images_does_not_matter():
    method, batch = build().double(), tiny_batch(3, dtype=torch.float64)
    order = torch.randperm(len(batch.index), generator=torch.Generator().manual_seed(0))
    loss, *_ = method.loss(batch)
    permuted, *_ = method.loss(replace(batch, views=tuple(view[order] for view in batch.views)))
    torch.testing.assert_close(permuted, loss)


def test_one_embedding_is_one_combination_an_image_drawn_anew_each_epoch():
    method, batch = build(one_embedding=True), tiny_batch(3)
    view = batch.views[0]
    method.stopped.module[0] = torch.nn.Flatten()
    method.stopped.module[1] = torch.nn.Identity()
    choices = F.normalize(torch.stack(combined(torch.nn.Flatten(), view, 2)), dim=2)  # [6, B, D]

    def drawn(number=0, **changes):
        parts = method._parts(view, replace(batch, **changes), number)
        assert parts.shape == (8, choices.shape[2])
        match = torch.isclose(parts, choices).all(2)  # [6, B]
        assert match.sum(0).eq(1).all()
        return match.int().argmax(0)

    first = drawn()
    assert len(first.unique()) > 1
    assert torch.equal(drawn(), first)
    assert not torch.equal(drawn(epoch=1), first)
    assert not torch.equal(drawn(seed=1), first)
    assert not torch.equal(drawn(number=2), first)


def test_one_embedding_makes_a_loss_of_its_own():
    method, batch = build(one_embedding=True), tiny_batch(3)
    local, whole, _, _ = transcription(method, batch)
    loss, values, _ = method.loss(batch)
    torch.testing.assert_close(values["global_loss"], whole.detach())
    assert not torch.isclose(values["local_loss"], local.detach(), rtol=1e-4)
    loss.backward()


def test_a_queue_that_batches_do_not_fill_is_refused():
    with pytest.raises(UsageError, match=r"queue_size=20: expected a multiple of the 8 keys of a step; take 24"):
        build(queue_size=20)
