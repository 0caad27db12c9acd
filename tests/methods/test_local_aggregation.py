"""Local Aggregation against a plain transcription of its paper's loss, image by image."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods.parts.clustering import kmeans
from tests.methods.harness import BATCH, IMAGES, KEEP, SIDE, build_method, tiny_batch

DATA = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()])
SMALL = {"dim": 8, "noise": 12, "background": 20, "clusters": 6, "clusterings": 2, "warmup_epochs": 2}


def build(**settings):
    return build_method("local_aggregation", **{"data": DATA, **SMALL, **settings})


def no_embeddings(network):
    pytest.fail("the rows of the bank are clustered")


def expected_loss(method, batch, epoch):
    """Computes the mean of -log P(C and B | v) / P(B | v), each probability a sum over rows of the bank."""
    network, rows = copy.deepcopy(torch.nn.Sequential(method.encoder, method.head)), method.bank.rows
    config, total = method.config, 0.0
    runs = [kmeans(rows, config.clusters, seed=0, epoch=epoch, run=n) for n in range(config.clusterings)]
    for i, v in zip(batch.index.tolist(), F.normalize(network(batch.views[0]), dim=1), strict=True):
        share = [torch.exp(row @ v / config.temperature) for row in rows]
        background = sorted(range(IMAGES), key=lambda j, v=v: -(rows[j] @ v).item())[: config.background]
        close = {j for run in runs for j in range(IMAGES) if run.assignment[j] == run.assignment[i]}
        both = sum(share[j] for j in background if j in close)
        total = total - torch.log(both / sum(share[j] for j in background) + 1e-7) / BATCH
    return total, network


@pytest.mark.parametrize("settings", [{}, {"background": IMAGES, "temperature": 0.2, "clusterings": 3}], ids=str)
def test_loss_and_gradients_equal_the_transcription(settings):
    method, batch = build(**settings), tiny_batch(1, epoch=2)
    method.start_epoch(2, no_embeddings)
    expected, network = expected_loss(method, batch, epoch=2)
    expected.backward()
    loss, _, kept = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    assert kept.estimate is None


def test_the_warm_up_is_instdiscs():
    method, batch = build(), tiny_batch(1, epoch=1)
    before = method.assignments.clone()
    method.start_epoch(1, no_embeddings)
    assert torch.equal(method.assignments, before)
    twin = build_method("instdisc", data=DATA, dim=8, noise=12)
    assert torch.equal(method.loss(batch)[0], twin.loss(batch)[0])


def test_every_epoch_clusters_the_bank_anew_from_several_beginnings():
    method = build()
    method.start_epoch(2, no_embeddings)
    first = method.assignments.clone()
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(7)
    method.start_epoch(2, no_embeddings)
    assert torch.equal(method.assignments, first)
    method.start_epoch(3, no_embeddings)
    assert not torch.equal(method.assignments, first)


def test_an_image_without_close_neighbors_in_its_background_has_no_gradient():
    method, batch = build(background=1, clusters=IMAGES, clusterings=1), tiny_batch(1, epoch=2)
    method.start_epoch(2, no_embeddings)  # random rows, each a cluster of its own
    loss, values, _ = method.loss(batch)
    loss.backward()
    assert values["probability"] == 0
    assert loss.item() == pytest.approx(16.118, abs=1e-3)  # -log 1e-7
    assert not any(p.grad.any() for p in method.parameters())


def test_images_that_share_one_cluster_have_no_loss():
    """Hence the spread of the embeddings is what shows a collapse."""
    method, batch = build(clusters=1), tiny_batch(1, epoch=2)
    method.start_epoch(2, no_embeddings)
    loss, values, _ = method.loss(batch)
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert values["std"] > 0


def test_a_step_moves_the_rows_of_its_images():
    method, batch = build(momentum=0.25), tiny_batch(1, epoch=2)
    method.start_epoch(2, no_embeddings)
    before = method.bank.rows.clone()
    *_, kept = method.loss(batch)
    method.after_step(kept, 0, 1, KEEP)
    expected = F.normalize(0.25 * before[batch.index] + 0.75 * kept.embedding, dim=1)
    torch.testing.assert_close(method.bank.rows[batch.index], expected)
    assert torch.equal(method.bank.rows[BATCH:], before[BATCH:])
    assert method.against_noise.partition == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"background": 65}, "method.background=65: expected at most as many as the 64 images to train on"),
        ({"clusters": 65}, "method.clusters=65: expected at most as many as the 64 images"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        build(**settings)
