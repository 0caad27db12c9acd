"""PixPro against a plain transcription of its paper's equations 2 to 5, pair by pair."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.recipes.load import load_recipe
from sslfast.views import near_cells
from tests.methods.harness import BATCH, KEEP, after_step, assert_equals_transcription, build_method, tiny_batch


def build(**settings):
    method = build_method("pixpro", **{"dim": 8, "hidden": 16, "momentum": 0.9, **settings})
    with torch.no_grad():  # so that the target is some steps behind
        for parameter in [*method.encoder.parameters(), *method.projector.parameters()]:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method


def pixels(encoder, projector, view):
    features = encoder(view, dense=True)
    rows = projector(features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]))
    return rows.view(len(view), -1, rows.shape[1])


def pixpro(method, batch):
    config = method.config
    online = [pixels(method.encoder, method.projector, view) for view in batch.views]
    with torch.no_grad():
        targets = [pixels(*method.target.module.children(), view) for view in batch.views]
    near = near_cells(*batch.boxes, 2, config.threshold)
    total = 0.0
    for x, other, positive in ((online[0], targets[1], near), (online[1], targets[0], near.mT)):
        transformed = method.transform(x.flatten(0, 1)).view_as(x)
        for b in range(BATCH):
            g = transformed[b]
            terms = []
            for i in range(4):
                cosines = [F.cosine_similarity(x[b, i], x[b, j], dim=0) for j in range(4)]
                y = sum(cosines[j].clamp(min=0) ** config.sharpness * g[j] for j in range(4))
                terms += [F.cosine_similarity(y, other[b, j], dim=0) for j in range(4) if positive[b, i, j]]
            if terms:
                total = total - torch.stack(terms).mean() / BATCH
    return total


@pytest.mark.parametrize("settings", [{}, {"threshold": 0.4, "sharpness": 1.0}, {"transform_layers": 2}], ids=str)
def test_loss_and_gradients_equal_the_transcription(settings):
    method, batch = build(**settings), tiny_batch()
    pairs = near_cells(*batch.boxes, 2, method.config.threshold).sum((1, 2))
    assert 0 < pairs.min() + pairs.max() < 32
    assert_equals_transcription(method, batch, pixpro)


def test_an_image_whose_crops_do_not_meet_counts_as_0():
    method, batch = build(), tiny_batch()
    batch.boxes[1][:, 0] += 1000
    loss, *_ = method.loss(batch)
    assert loss == 0


def test_the_target_follows_and_receives_no_gradient():
    method = build(momentum_schedule="constant")
    loss, _, kept = method.loss(tiny_batch())
    loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in method.target.parameters())
    before = copy.deepcopy(method.target.module)
    after_step(method, kept, 0, 1, KEEP)
    trained = [*method.encoder.parameters(), *method.projector.parameters()]
    for now, old, source in zip(method.target.parameters(), before.parameters(), trained, strict=True):
        torch.testing.assert_close(now, 0.9 * old + 0.1 * source)


def test_the_recipe_for_imagenet_is_the_papers():
    recipe = load_recipe("pixpro_imagenet")
    method, optim = recipe.method, recipe.optim
    assert (method.dim, method.hidden, method.threshold, method.sharpness) == (256, 4096, 0.7, 2)
    assert (method.momentum, method.momentum_schedule) == (0.99, "cosine")
    assert (optim.name, optim.lr, optim.weight_decay, recipe.data.batch_size) == ("lars", 1.0, 1e-5, 1024)
