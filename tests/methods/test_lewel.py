"""Both forms of LEWEL against a plain transcription of the paper's equations and of the published head."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sslfast.errors import UsageError
from tests.methods.harness import KEEP, after_step, build_method, tiny_batch

SMALL = {"dim": 8, "aligned_dim": 6, "hidden": 16, "momentum": 0.9, "groups": 4}


def build(name, **settings):
    extra = {"queue_size": 32} if name == "lewel_m" else {}
    return build_method(name, **{**SMALL, **extra, **settings})


def projections(encoder, head, view, h):
    """Computes z and the aligned embeddings z_k, [B, k, c]: section 3.2."""
    features = encoder(view, dense=True)
    b, channels, height, width = features.shape
    pixels = features.flatten(2).transpose(1, 2)
    gap = F.adaptive_avg_pool2d(features, 1).flatten(1)
    if head.maps == "coupled":
        rows = head.projector(torch.cat([gap[:, None], pixels], dim=1).reshape(-1, channels))
        rows = rows.view(b, 1 + height * width, -1)
        z, scores = rows[:, 0], rows[:, 1:]
    else:
        z = head.projector(gap)
        if head.maps == "gap":
            return z, head.aligned_projector(gap)[:, None]
        scores = head.map_projector(pixels.reshape(-1, channels)).view(b, height * width, -1)
    weights = F.normalize(scores, dim=2).softmax(1)  # over channels, then over positions
    of_group = weights.chunk(h, dim=2)
    if head.group_order == "paper":  # equation 2: of vector k the maps number kh + g, one a group
        of_group = [weights[:, :, g::h] for g in range(h)]
    groups = zip(pixels.chunk(h, dim=2), of_group, strict=True)
    y = torch.cat([torch.einsum("bpk,bpc->bkc", w, f) for f, w in groups], dim=2)  # [B, d / h, D]
    return z, head.aligned_projector(y.reshape(-1, channels)).view(b, y.shape[1], -1)


def transcription_m(method, view1, view2):
    """Computes equations 3 and 4; returns the networks that they train, too."""
    config, h = method.config, method.config.groups
    encoder, head = copy.deepcopy((method.encoder, method.head))
    key_encoder, key_head = copy.deepcopy(method.key_network.module)
    z, aligned = projections(encoder, head, view1, h)
    with torch.no_grad():
        key, aligned_key = projections(key_encoder, key_head, view2, h)
    q, k = F.normalize(z, dim=1), F.normalize(key, dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ method.queue.keys.T], dim=1) / config.temperature
    loss_g = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
    a, ak = F.normalize(aligned, dim=2), F.normalize(aligned_key, dim=2)
    terms = []
    for i in range(len(a)):
        others = torch.cat([ak[j] for j in range(len(a)) if j != i])
        for m in range(a.shape[1]):
            logits = torch.cat([(a[i, m] @ ak[i, m])[None], others @ a[i, m]]) / config.temperature
            terms.append(F.cross_entropy(logits, torch.tensor(0)))
    loss = (1 - config.beta) * loss_g + config.beta * torch.stack(terms).mean()
    return loss, [encoder, head], k


def transcription_b(method, view1, view2):
    """Computes equations 3 and 5 of one direction; returns the networks that they train, too."""
    config, h = method.config, method.config.groups
    networks = copy.deepcopy([method.encoder, method.head, method.predictor, method.aligned_predictor])
    encoder, head, q, s = networks
    target_encoder, target_head = copy.deepcopy(method.target.module)

    def mse(x, y):
        return (F.normalize(x, dim=-1) - F.normalize(y, dim=-1).detach()).square().sum(-1).mean()

    total = 0
    pairs = [(view1, view2), (view2, view1)]
    for view, other in pairs if config.symmetric else pairs[:1]:
        z, aligned = projections(encoder, head, view, h)
        target, aligned_target = projections(target_encoder, target_head, other, h)
        predicted = s(aligned.reshape(-1, aligned.shape[2]))
        loss_a = mse(predicted, aligned_target.reshape(-1, aligned.shape[2]))
        total = total + (1 - config.beta) * mse(q(z), target) + config.beta * loss_a
    return total, networks


@pytest.mark.parametrize("name", ["lewel_m", "lewel_b"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"groups": 1, "beta": 0.3},
        {"groups": 8},
        {"maps": "separate"},
        {"maps": "gap"},
        {"beta": 1.0},
        {"groups": 2, "group_order": "paper"},
        {"symmetric": False},
    ],
    ids=str,
)
def test_loss_and_gradients_equal_the_transcription(name, settings):
    method, batch = build(name, **settings).double(), tiny_batch(dtype=torch.float64)
    if name == "lewel_m":
        expected, networks, _ = transcription_m(method, *batch.views)
        trained = [method.encoder, method.head]
    else:
        expected, networks = transcription_b(method, *batch.views)
        trained = [method.encoder, method.head, method.predictor, method.aligned_predictor]
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(trained, networks, strict=True):
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            gradients = [torch.zeros_like(r) if r.grad is None else r.grad for r in (p, q)]
            torch.testing.assert_close(*gradients, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("settings", [{}, {"groups": 2, "group_order": "paper"}, {"maps": "separate"}], ids=str)
def test_the_alignment_maps_are_those_that_pool(settings):
    """Each group of channels, pooled under its own maps, is what the head makes its aligned embeddings of."""
    head = build("lewel_m", **settings).double().eval().head
    features = torch.randn(3, 64, 4, 5, dtype=torch.float64)
    maps, h = head.alignment_maps(features), head.groups
    assert maps.shape == (3, 8, 4, 5)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(3, 8, dtype=torch.float64))
    by_group = (
        maps.unflatten(1, (-1, h)).transpose(1, 2) if "group_order" in settings else maps.unflatten(1, (h, -1))
    )
    pooled = torch.einsum("bgkyx,bgcyx->bkgc", by_group, features.unflatten(1, (h, -1))).flatten(2)
    _, aligned = head(features)
    torch.testing.assert_close(aligned, head.aligned_projector(pooled.flatten(0, 1)).view_as(aligned))


def test_global_pooling_has_no_alignment_maps():
    assert build("lewel_b", maps="gap").eval().head.alignment_maps(torch.randn(1, 64, 4, 4)) is None


def test_the_global_keys_alone_are_enqueued():
    method, batch = build("lewel_m"), tiny_batch()
    _, _, keys = transcription_m(method, *batch.views)
    before = method.queue.keys.clone()
    *_, kept = method.loss(batch)
    after_step(method, kept, 0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:8], keys)
    torch.testing.assert_close(method.queue.keys[8:], before[8:], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["lewel_m", "lewel_b"])
def test_the_moving_average_receives_no_gradient_and_follows(name):
    method = build(name, momentum_schedule="constant")
    loss, _, kept = method.loss(tiny_batch())
    loss.backward()
    follower = method.key_network if name == "lewel_m" else method.target
    before = copy.deepcopy(follower.module)
    assert all(p.grad is None and not p.requires_grad for p in follower.parameters())
    trained = [*method.encoder.parameters(), *method.head.parameters()]
    with torch.no_grad():
        for p in trained:
            p.add_(1.0)
    after_step(method, kept, 0, 1, KEEP)
    for now, old, source in zip(follower.parameters(), before.parameters(), trained, strict=True):
        torch.testing.assert_close(now, 0.9 * old + 0.1 * source)


def test_the_momentum_of_lewel_b_rises_to_1():
    method = build("lewel_b")
    before = copy.deepcopy(method.target.module)
    with torch.no_grad():
        for p in [*method.encoder.parameters(), *method.head.parameters()]:
            p.add_(1.0)
    after_step(method, None, 6, 12, KEEP)  # half way: 1 - 0.1 / 2
    for now, old in zip(method.target.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.05)


@pytest.mark.parametrize("name", ["lewel_m", "lewel_b"])
def test_random_maps_are_drawn_anew_and_train_no_head_of_maps(name):
    method = build(name, maps="random")
    assert method.head.map_projector is None
    features = torch.randn(1, method.encoder.feature_dim, 4, 4).expand(2, -1, -1, -1)
    method.eval()
    (z, first), (same, second) = method.head(features), method.head(features)
    assert first.shape == (2, 2, 6)
    torch.testing.assert_close(z, same)
    assert not torch.allclose(first, second)
    assert not torch.allclose(*first)  # nor are they of the batch


@pytest.mark.parametrize("name", ["lewel_m", "lewel_b"])
def test_the_order_of_the_images_does_not_matter(name):
    method, batch = build(name).double(), tiny_batch(dtype=torch.float64)
    order = torch.randperm(len(batch.index), generator=torch.Generator().manual_seed(0))
    loss, *_ = method.loss(batch)
    permuted, *_ = method.loss(replace(batch, views=tuple(view[order] for view in batch.views)))
    torch.testing.assert_close(permuted, loss)
    if name == "lewel_b":
        swapped, *_ = method.loss(replace(batch, views=batch.views[::-1]))
        torch.testing.assert_close(swapped, loss)


def test_the_heads_of_lewel_b_have_no_bias_as_published():
    method = build("lewel_b", maps="separate")
    heads = (method.head, method.predictor, method.aligned_predictor, method.target.module[1])
    linear = [layer for head in heads for layer in head.modules() if isinstance(layer, torch.nn.Linear)]
    assert len(linear) == 2 * (3 + 1 + 1 + 3)
    assert all(layer.bias is None for layer in linear)


def test_groups_that_do_not_divide_are_refused():
    for groups in (3, 16):  # of 64 channels and 8 maps
        message = rf"method.groups={groups}: expected a divisor of the encoder's 64 channels and of method.dim=8"
        with pytest.raises(UsageError, match=message):
            build("lewel_b", groups=groups)
