"""DINO against a plain transcription of its paper's algorithm 1, with multi-crop as in equation 3."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from tests.methods.harness import (
    BATCH,
    KEEP,
    SIDE,
    SKIP,
    after_step,
    assert_equals_transcription,
    build_method,
    tiny_batch,
)


def build(views=4, **settings):
    data = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()] * views)
    method = build_method("dino", data=data, **{"dim": 8, "hidden": 16, "prototypes": 12, **settings})
    with torch.no_grad():  # so that the teacher is some steps behind, and the center has moved
        for parameter in trained(method):
            parameter.add_(0.1 * torch.randn_like(parameter))
        method.center.copy_(0.1 * torch.randn(12))
    return method


def trained(method):
    return [*method.encoder.parameters(), *method.head.parameters(), *method.prototypes.parameters()]


def crops(epoch=1, seed=1):
    """Draws two global crops of 16 pixels and two local ones of 8."""
    whole, small = tiny_batch(2, epoch=epoch, seed=seed), tiny_batch(2, side=8, seed=seed + 100)
    return replace(whole, views=whole.views + small.views)


def scores(encoder, head, last_layer, views):
    """Computes the outputs g(x) of a network, each size by itself, (B, K) of each view."""
    sizes = [views[:2], views[2:]]
    features = torch.cat([encoder(torch.cat(size)) for size in sizes if size])
    z = F.normalize(head(features), dim=1)
    weight = last_layer.weight
    return [
        (z @ (weight / weight.norm(dim=1, keepdim=True)).T)[n * BATCH : (n + 1) * BATCH] for n in range(len(views))
    ]


def dino(method, data, temperature=0.04):
    """Computes equations 1 to 3 of Caron et al. 2021: H(P_t(x), P_s(x')) over pairs of a global and a crop."""
    with torch.no_grad():
        teacher = scores(*method.teacher.module.children(), data.views[:2])
        p_t = [torch.softmax((g - method.center) / temperature, dim=1) for g in teacher]
    student = scores(method.encoder, method.head, method.prototypes, data.views)
    losses = []
    for i, t in enumerate(p_t):
        for v, s in enumerate(student):
            if v != i:
                p_s = torch.softmax(s / method.config.temperature, dim=1)
                losses.append(-(t * torch.log(p_s)).sum(dim=1).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("settings", [{}, {"head_norm": True, "layers": 2}, {"temperature": 0.3}])
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), crops(), dino)


def test_two_global_crops_alone():
    assert_equals_transcription(build(views=2), tiny_batch(epoch=1), dino)


def test_the_teacher_receives_no_gradient():
    method = build()
    method.loss(crops())[0].backward()
    assert not any(p.requires_grad or p.grad is not None for p in method.teacher.parameters())


def test_the_prototypes_are_frozen_as_long_as_asked():
    method = build(frozen_epochs=2)
    loss, *_ = method.loss(crops(epoch=1))
    loss.backward()
    assert method.prototypes.weight.grad is None
    torch.testing.assert_close(loss, method.loss(crops(epoch=2))[0])
    method.loss(crops(epoch=2))[0].backward()
    assert method.prototypes.weight.grad.abs().max() > 0


def test_the_length_of_a_prototype_has_no_effect():
    method, data = build().eval(), crops()
    loss, *_ = method.loss(data)
    with torch.no_grad():
        method.prototypes.weight.mul_(torch.arange(1, 13)[:, None])
    torch.testing.assert_close(method.loss(data)[0], loss)


def test_the_center_follows_the_mean_of_the_teachers_scores():
    method, data = build(center_momentum=0.8), crops()
    before = method.center.clone()
    with torch.no_grad():
        batch_mean = torch.cat(scores(*copy.deepcopy(method.teacher.module).children(), data.views[:2])).mean(0)
    *_, kept = method.loss(data)
    method.after_step(torch.full_like(kept, math.nan), 0, 1, SKIP)
    torch.testing.assert_close(method.center, before, rtol=0, atol=0)
    method.after_step(kept, 0, 1, KEEP)
    torch.testing.assert_close(method.center, 0.8 * before + 0.2 * batch_mean)


def test_a_step_moves_the_teacher_by_the_schedule():
    method = build(momentum=0.9)
    before = copy.deepcopy(method.teacher.module)
    after_step(method, torch.zeros(12), 3, 12, KEEP)
    momentum = 1 - 0.1 * (math.cos(math.pi * 3 / 12) + 1) / 2
    for now, then, student in zip(method.teacher.parameters(), before.parameters(), trained(method), strict=True):
        torch.testing.assert_close(now, momentum * then + (1 - momentum) * student)


def test_the_teachers_temperature_rises_in_the_first_epochs():
    method = build(first_teacher_temperature=0.02, teacher_temperature=0.08, teacher_warmup_epochs=4)
    temperatures = [method.teacher_temperature(epoch) for epoch in range(6)]
    assert temperatures == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.08, 0.08])  # numpy.linspace, as in the code
    torch.testing.assert_close(method.loss(crops(epoch=1))[0], dino(copy.deepcopy(method), crops(), 0.04))
    assert build(teacher_warmup_epochs=1, first_teacher_temperature=0.02).teacher_temperature(0) == 0.02


def test_the_head_is_that_of_the_code():
    head, plain = build(head_norm=True).head, build().head
    assert [type(layer) for layer in plain] == [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]
    assert [type(layer) for layer in head] == [*[nn.Linear, nn.BatchNorm1d, nn.GELU] * 2, nn.Linear]
    fresh = build_method("dino", hidden=256, prototypes=4).head
    assert fresh[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert fresh[0].bias.count_nonzero() == 0


def test_a_view_less_than_two_is_refused():
    with pytest.raises(UsageError, match=r"data.views: expected at least 2 views, and the method.global_crops=2"):
        build(views=1)


def test_the_recipe_for_vits_is_the_one_of_the_paper():
    recipe = load_recipe("dino_vit_imagenet")
    method, optim = recipe.method, recipe.optim
    assert (method.prototypes, method.dim, method.hidden, method.head_norm) == (65536, 256, 2048, False)
    assert (method.first_teacher_temperature, method.teacher_temperature) == (0.04, 0.07)
    assert (method.momentum, method.momentum_schedule, method.center_momentum) == (0.996, "cosine", 0.9)
    assert (optim.name, optim.lr, recipe.data.batch_size, recipe.train.epochs) == ("adamw", 5e-4, 1024, 300)
