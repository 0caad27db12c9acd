"""CMC against a plain transcription of the paper's equations, and its encoder of color parts."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sslfast.commands.pretrain import pretrain
from sslfast.config import DataConfig, EncoderConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from sslfast.weights import load_encoder
from tests.methods.harness import BATCH, IMAGES, KEEP, SIDE, SKIP, build_method, tiny_batch
from tests.methods.nce import nce

DATA = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()])
LAB = EncoderConfig(stem="cifar", width=0.25, colors="lab")


def build(encoder=LAB, **settings):
    return build_method("cmc", encoder=encoder, data=DATA, **{"dim": 8, "noise": 12, **settings})


def transcription(method, batch, pairs, objective):
    """Contrasts each view of a pair with the bank of the other, summed over the pairs."""
    network = copy.deepcopy(method)
    features = network.encoder(batch.views[0]).split(network.encoder.feature_dims, dim=1)
    views = [F.normalize(head(x), dim=1) for head, x in zip(network.heads, features, strict=True)]
    noise, total = method.banks[0].noise(batch, 12), torch.zeros(())
    for pair in pairs:
        for anchor, other in (pair, pair[::-1]):
            rows, v = method.banks[other].rows, views[anchor]
            logits = torch.cat([(v * rows[batch.index]).sum(1, keepdim=True), v @ rows[noise].T], dim=1) / 0.07
            if objective == "softmax":
                total = total + F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.int64))
            else:
                z = IMAGES * logits.detach().exp().mean()
                total = total + nce(v, rows[batch.index], rows[noise], 0.07, z, IMAGES)
    return total, network, views


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize(
    ("parts", "graph", "pairs"),
    [
        (2, "full", [(0, 1)]),
        (2, "core", [(0, 1)]),
        (3, "full", [(0, 1), (0, 2), (1, 2)]),
        (3, "core", [(0, 1), (0, 2)]),
    ],
)
def test_loss_and_gradients_equal_the_transcription(parts, graph, pairs, objective):
    method, batch = build(replace(LAB, color_parts=parts), graph=graph, objective=objective), tiny_batch(1)
    expected, network, _ = transcription(method, batch, pairs, objective)
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_each_views_bank_moves_towards_that_view():
    method, batch = build(), tiny_batch(1)
    _, _, views = transcription(method, batch, [(0, 1)], "nce")
    before = [bank.rows.clone() for bank in method.banks]
    *_, kept = method.loss(batch)
    method.after_step(kept, 0, 1, SKIP)
    assert all(torch.equal(bank.rows, rows) for bank, rows in zip(method.banks, before, strict=True))
    method.after_step(kept, 0, 1, KEEP)
    for bank, rows, view in zip(method.banks, before, views, strict=True):
        expected = F.normalize((rows[batch.index] + view) / 2, dim=1)
        torch.testing.assert_close(bank.rows[batch.index], expected.detach())


def test_one_encoder_of_rgb_comes_back_from_a_run(tmp_path):
    """With the mean and standard deviation of its recipe."""
    overrides = ["data.source=shapes", "data.limit=40", "data.batch_size=16", "data.mean=[0.4, 0.5, 0.6]"]
    small = ["data.size=32", "encoder.stem=cifar", "encoder.width=0.25", "method.dim=8", "method.noise=16"]
    run = ["train.epochs=1", "train.knn_every=1", "train.knn_k=5", "train.threads=1"]
    pretrain(load_recipe("cmc_imagenette", [*overrides, *small, *run]), tmp_path)
    encoder = load_encoder(tmp_path)
    torch.testing.assert_close(encoder.mean, torch.tensor([0.4, 0.5, 0.6]))
    assert encoder(torch.randn(2, 3, 32, 32)).shape == (2, 128)


@pytest.mark.parametrize(
    ("encoder", "images", "message"),
    [
        (replace(LAB, colors="rgb"), 64, "encoder.colors=rgb: expected lab or ydbdr"),
        (LAB, 8, "data.batch_size=8: expected fewer than the 8 images to train on"),
    ],
)
def test_settings_that_cannot_work_are_refused(encoder, images, message):
    with pytest.raises(UsageError, match=message):
        build(encoder, images=images)
