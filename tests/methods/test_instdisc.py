"""InstDisc against plain transcriptions of the paper's equations."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from tests.methods.harness import BATCH, IMAGES, KEEP, SIDE, SKIP, build_method, tiny_batch
from tests.methods.nce import nce

DATA = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()])


def build(**settings):
    return build_method("instdisc", **{"data": DATA, "dim": 8, "noise": 12, **settings})


def transcription(method, batch, objective):
    network, rows = copy.deepcopy(torch.nn.Sequential(method.encoder, method.head)), method.bank.rows
    v = F.normalize(network(batch.views[0]), dim=1)
    if objective == "softmax":
        return F.cross_entropy(v @ rows.T / 0.07, batch.index), network
    own, noise = rows[batch.index], rows[method.bank.noise(batch, 12)]
    logits = torch.cat([(v * own).sum(1, keepdim=True), v @ noise.T], dim=1).detach() / 0.07
    return nce(v, own, noise, 0.07, IMAGES * logits.exp().mean(), IMAGES), network


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_loss_and_gradients_equal_the_transcription(objective):
    method, batch = build(objective=objective), tiny_batch(1)
    expected, network = transcription(method, batch, objective)
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_the_proximal_term_pulls_to_the_own_row(objective):
    method, batch = build(objective=objective, proximal=30.0), tiny_batch(1)
    plain, network = transcription(method, batch, objective)
    v = F.normalize(network(batch.views[0]), dim=1)
    distance = (v - method.bank.rows[batch.index]).square().sum(1).mean()
    torch.testing.assert_close(method.loss(batch)[0], plain + 30 * distance, rtol=1e-4, atol=1e-4)


def test_a_step_moves_the_rows_of_its_images():
    method, batch = build(momentum=0.25), tiny_batch(1)
    v = F.normalize(
        copy.deepcopy(torch.nn.Sequential(method.encoder, method.head))(batch.views[0]), dim=1
    ).detach()
    before = method.bank.rows.clone()
    *_, kept = method.loss(batch)
    assert torch.equal(method.bank.rows, before)
    method.after_step(kept, 0, 1, SKIP)
    assert torch.equal(method.bank.rows, before)
    method.after_step(kept, 0, 1, KEEP)
    expected = F.normalize(0.25 * before[batch.index] + 0.75 * v, dim=1)
    torch.testing.assert_close(method.bank.rows[batch.index], expected)
    assert torch.equal(method.bank.rows[BATCH:], before[BATCH:])
    assert method.against_noise.partition > 0


def test_the_softmax_counts_all_images_whatever_the_noise():
    losses = [build(objective="softmax", noise=noise).loss(tiny_batch(1))[0] for noise in (1, 12)]
    assert torch.equal(*losses)


def test_a_batch_of_all_images_is_refused():
    with pytest.raises(UsageError, match="data.batch_size=8: expected fewer than the 8 images to train on"):
        build(images=8)
