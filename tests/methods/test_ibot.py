"""iBOT against a plain transcription of its paper's equations 2 and 3 and of its published loss."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, EncoderConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods.ibot import IBOT
from sslfast.recipes.load import load_recipe
from sslfast.views import block_mask
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

VIT = EncoderConfig(name="vit_small", width=0.03, patch_size=4, freeze_patch_projection=False)


def build(views=4, **settings):
    data = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()] * views)
    method = build_method("ibot", encoder=VIT, data=data, dim=8, hidden=16, prototypes=12, **settings)
    with torch.no_grad():  # so that the teacher is some steps behind, and the centers have moved
        for parameter in (p for p in method.parameters() if p.requires_grad):
            parameter.add_(0.1 * torch.randn_like(parameter))
        for center in (method.center, method.patch_center):
            center.copy_(0.1 * torch.randn(12))
    return method


def crops(views=4, epoch=1):
    """Draws two global crops of 16 pixels and two local ones of 8."""
    whole, small = tiny_batch(2, epoch=epoch), tiny_batch(2, side=8, seed=101)
    return replace(whole, views=(whole.views + small.views)[:views])


def outputs(network, tokens):
    """Computes the scores of tokens: normalized, against normalized prototypes."""
    head, last_layer = network
    return (
        F.normalize(head(tokens.flatten(0, 1)), dim=1).view(*tokens.shape[:2], -1)
        @ (last_layer.weight / last_layer.weight.norm(dim=1, keepdim=True)).T
    )


def hidden(method, batch):
    config = method.config
    return [block_mask(batch.key(v), 4, config.masked, config.mask_probability) for v in range(2)]


def ibot(method, batch):
    student, teacher_encoder, *teacher = (method.head, method.prototypes), *method.teacher.module.children()
    masks, config, t = hidden(method, batch), method.config, 0.04
    global_s, global_t = [], []
    for view, mask in zip(batch.views, masks, strict=False):
        global_s.append(outputs(student, method.encoder(view, tokens=True, mask=(mask, method.mask_token))))
        with torch.no_grad():
            global_t.append(outputs(teacher, teacher_encoder(view, tokens=True)))
    classes = [s[:, 0] for s in global_s]
    classes += [outputs(student, method.encoder(view)[:, None])[:, 0] for view in batch.views[2:]]

    def h(targets, center, scores):
        p = ((targets - center) / t).softmax(-1)
        return -(p * (scores / config.temperature).log_softmax(-1)).sum(-1)

    pairs = [(i, v) for i in range(2) for v in range(len(classes)) if i != v]
    class_loss = sum(h(global_t[i][:, 0], method.center, classes[v]).mean() for i, v in pairs) / len(pairs)
    patch_loss = 0.0
    for i, mask in enumerate(masks):
        each = h(global_t[i][:, 1:], method.patch_center, global_s[i][:, 1:])
        patch_loss += sum(row[m].mean() for row, m in zip(each, mask, strict=True) if m.any()) / BATCH / 2
    return class_loss + config.patch_weight * patch_loss


@pytest.mark.parametrize("views", [2, 4])
def test_loss_and_gradients_equal_the_transcription(views):
    method, batch = build(views, patch_weight=0.7), crops(views)
    masked = torch.cat(hidden(method, batch)).any(1)
    assert masked.any()
    assert not masked.all()
    assert_equals_transcription(method, batch, ibot)


def test_a_hidden_patch_reaches_the_student_as_the_mask_token_at_its_place():
    method, view = build(), tiny_batch(1).views[0]
    mask = torch.zeros(BATCH, 16, dtype=torch.bool)
    mask[:, 5] = True  # row 1, column 1
    changed = view.clone()
    changed[:, :, 4:8, 4:8] = 0
    tokens = [method.encoder(x, tokens=True, mask=(mask, method.mask_token)) for x in (view, changed)]
    torch.testing.assert_close(*tokens, rtol=0, atol=0)
    other = method.encoder(view, tokens=True, mask=(mask.roll(1, dims=1), method.mask_token))
    assert not torch.allclose(other, tokens[0], atol=1e-3)


def test_each_center_follows_the_teachers_scores_of_its_tokens():
    method, batch = build(center_momentum=0.8), crops()
    with torch.no_grad():
        encoder, *rest = method.teacher.module.children()
        scores = torch.cat([outputs(rest, encoder(view, tokens=True)) for view in batch.views[:2]])
    before = copy.deepcopy((method.center, method.patch_center))
    *_, kept = method.loss(batch)
    after_step(method, kept, 0, 1, SKIP)
    torch.testing.assert_close((method.center, method.patch_center), before, rtol=0, atol=0)
    after_step(method, kept, 0, 1, KEEP)
    torch.testing.assert_close(method.center, 0.8 * before[0] + 0.2 * scores[:, 0].mean(0))
    torch.testing.assert_close(method.patch_center, 0.8 * before[1] + 0.2 * scores[:, 1:].mean((0, 1)))


def test_global_crops_of_two_sizes_are_refused():
    views = [ViewConfig(), ViewConfig(size=8)]
    with pytest.raises(UsageError, match=r"expected global crops of one size for ibot, got \[16, 8\]"):
        build_method("ibot", encoder=VIT, data=DataConfig(size=SIDE, batch_size=BATCH, views=views))


def test_the_recipe_for_imagenet_is_that_of_the_code():
    recipe = load_recipe("ibot_imagenet")
    method, optim = recipe.method, recipe.optim
    assert (method.prototypes, method.dim, method.hidden, method.layers) == (8192, 256, 2048, 3)
    assert (method.masked, method.mask_probability, method.patch_weight) == ((0.1, 0.5), 0.5, 1.0)
    assert (method.first_teacher_temperature, method.teacher_temperature) == (0.04, 0.07)
    assert (optim.name, optim.lr, recipe.data.batch_size, recipe.train.epochs) == ("adamw", 5e-4, 1024, 800)
    assert [(view.scale, view.size) for view in recipe.data.views[1:3]] == [((0.25, 1), None), ((0.05, 0.25), 96)]
    assert len(recipe.data.views) == 12


def test_features_of_patches_alone_are_refused():
    """Small crops would be the mean of their patches, which the class tokens of global crops would predict."""
    recipe = load_recipe("ibot_cifar10", ["encoder.pool=mean"])
    with pytest.raises(UsageError, match=r"^encoder.pool=mean: ibot compares the class tokens .*; set enc"):
        IBOT.check(recipe, 64)
