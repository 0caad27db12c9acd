"""PIRL against a plain transcription of the paper's equation 5, with the estimator of InstDisc."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods.pirl import patch_side
from sslfast.random.key import Stream
from sslfast.views import jigsaw_cells, permuted, random_order
from tests.methods.harness import BATCH, IMAGES, KEEP, SIDE, SKIP, build_method, tiny_batch
from tests.methods.nce import nce


def build(size=24, **settings):
    data = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig(), ViewConfig(size=size)])
    return build_method("pirl", data=data, **{"dim": 8, "noise": 12, **settings})


def batch_of(size=24):
    whole = tiny_batch(1)
    return replace(whole, views=(*whole.views, *tiny_batch(1, side=size, seed=2).views))


def embeddings(method, batch):
    """Computes f of the image, g of what the pretext made of it."""
    network = copy.deepcopy(method)
    f = F.normalize(network.image_head(network.encoder(batch.views[0])), dim=1)
    key = batch.key(view=1)
    if method.config.pretext == "jigsaw":
        patches = permuted(jigsaw_cells(batch.views[1], key, patch=6), random_order(key, 9))
        towers = network.transformed_head(network.encoder(patches.flatten(0, 1)))
        g = network.order_head(towers.view(BATCH, 9 * 8))
    else:
        turns = key.integers(Stream.PERMUTATION, 4).tolist()
        turned = torch.stack([x.rot90(k, dims=(1, 2)) for x, k in zip(batch.views[1], turns, strict=True)])
        g = network.transformed_head(network.encoder(turned))
    return f, F.normalize(g, dim=1), network


def against(v, own, noise, objective):
    logits = torch.cat([(v * own).sum(1, keepdim=True), v @ noise.T], dim=1) / 0.07
    if objective == "softmax":
        return F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.int64))
    return nce(v, own, noise, 0.07, IMAGES * logits.detach().exp().mean(), IMAGES)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize("pretext", ["jigsaw", "rotation"])
def test_loss_and_gradients_equal_the_transcription(pretext, objective):
    """Patches may be permuted before or after they are embedded; without statistics of so small batches."""
    method, batch = build(pretext=pretext, objective=objective, weight=0.3).eval(), batch_of()
    f, g, network = embeddings(method, batch)
    own, noise = method.bank.rows[batch.index], method.bank.rows[method.bank.noise(batch, 12)]
    expected = 0.3 * against(g, own, noise, objective) + 0.7 * against(f, own, noise, objective)
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=2e-3, atol=1e-4)


def test_the_rows_follow_the_images_alone():
    method, batch = build(), batch_of()
    f, _, _ = embeddings(method, batch)
    before = method.bank.rows.clone()
    *_, kept = method.loss(batch)
    method.after_step(kept, 0, 1, SKIP)
    assert torch.equal(method.bank.rows, before)
    assert method.image_loss.partition == method.transformed_loss.partition == 0
    method.after_step(kept, 0, 1, KEEP)
    expected = F.normalize((before[batch.index] + f.detach()) / 2, dim=1)
    torch.testing.assert_close(method.bank.rows[batch.index], expected)
    assert method.image_loss.partition > 0
    assert method.transformed_loss.partition > 0


def test_the_pretext_depends_on_the_epoch():
    method = build().eval()
    first, again, later = (method.loss(replace(batch_of(), epoch=epoch))[0] for epoch in (0, 0, 1))
    assert first == again
    assert first != later


def test_the_papers_cells_and_patches():
    assert patch_side(255) == 64
    assert patch_side(48) == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 5}, "pirl, views of 5 pixels: jigsaw_cells: expected a patch of 1 to 1 pixels, .*got patch=0"),
        ({"size": 2}, "pirl, views of 2 pixels: jigsaw_cells: expected 1 to 2 cells a side"),
        ({"size": 18}, "pirl, patches: encoder.stem=cifar: expected more than 4 pixels a side, .*got 4 x 4"),
        ({"images": 8}, "data.batch_size=8: expected fewer than the 8 images to train on"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        build(**settings)
    assert build(size=5, pretext="rotation").config.pretext == "rotation"
