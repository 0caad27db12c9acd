"""PCL against a plain transcription of the paper's equations 11 and 12."""

import math

import pytest
import torch
import torch.nn.functional as F

from sslfast.errors import UsageError
from sslfast.methods.parts.clustering import Clusters, kmeans
from sslfast.methods.pcl import concentration
from tests.methods.harness import IMAGES, build_method, embed, tiny_batch
from tests.methods.moco import moco_transcription

CLUSTERS = (4, 9)


def build(**settings):
    small = {"dim": 8, "hidden": 16, "queue_size": 32, "clusters": CLUSTERS, "warmup_epochs": 2}
    return build_method("pcl", **{**small, **settings})


def phi_of(points, centroids, assignment, alpha=10.0, temperature=0.2):
    phi = []
    for k, c in enumerate(centroids):
        own = points[assignment == k]
        z = len(own)
        phi.append((own - c).norm(dim=1).sum().item() / (z * math.log(z + alpha)) if z > 1 else math.nan)
    phi = torch.tensor(phi)
    phi = torch.where(phi.isnan(), phi[~phi.isnan()].max(), phi)
    phi = phi.clamp(phi.quantile(0.1), phi.quantile(0.9))
    return temperature * phi / phi.mean()


def expected_loss(method, batch, epoch):
    info_nce, network, _ = moco_transcription(method, *batch.views)
    points = F.normalize(embed(method.key_network.module)[0], dim=1)
    q = F.normalize(network(batch.views[0]), dim=1)
    total = info_nce
    for n, k in enumerate(CLUSTERS):
        found = kmeans(points, k, seed=0, epoch=epoch, run=n)
        phi = phi_of(points, found.centroids, found.assignment)
        logits = q @ F.normalize(found.centroids, dim=1).T / phi
        total = total + F.cross_entropy(logits, found.assignment[batch.index]) / len(CLUSTERS)
    return total, network


def test_loss_and_gradients_equal_the_transcription():
    method, batch = build(), tiny_batch(epoch=2)
    method.start_epoch(2, embed)
    method.eval()  # the networks see views once or twice: no statistics of batches
    expected, network = expected_loss(method, batch, epoch=2)
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    trained = [*method.encoder.parameters(), *method.head.parameters()]
    for ours, theirs in zip(trained, network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=2e-3, atol=1e-5)
    assert not any(p.requires_grad for p in method.prototypes.parameters())


def test_the_warm_up_is_mocos():
    method, batch = build(), tiny_batch(epoch=1)
    method.start_epoch(1, lambda _: pytest.fail("nothing is clustered yet"))
    torch.testing.assert_close(method.loss(batch)[0], moco_transcription(method, *batch.views)[0])


def test_it_clusters_what_the_momentum_network_makes_of_the_images():
    method = build()
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(1.0)
    networks = []
    method.start_epoch(2, lambda network: networks.append(network) or embed(network))
    assert networks == [method.key_network.module]
    before = method.prototypes.assignments.clone()
    torch.manual_seed(7)
    method.start_epoch(2, embed)
    assert torch.equal(method.prototypes.assignments, before)
    method.start_epoch(3, embed)
    assert not torch.equal(method.prototypes.assignments, before)


def test_images_that_cannot_be_read_take_no_part():
    method = build()
    method.start_epoch(2, lambda network: embed(network, num_readable=50))
    points = F.normalize(embed(method.key_network.module)[0], dim=1)[:50]
    found = kmeans(points, 4, seed=0, epoch=2)
    assert torch.equal(method.prototypes.assignments[0, :50], found.assignment)


class TestConcentration:
    def test_is_that_of_the_equation(self):
        points = F.normalize(torch.randn(IMAGES, 8, generator=torch.Generator().manual_seed(0)), dim=1)
        found = kmeans(points, 7, seed=0, epoch=0)
        expected = phi_of(points, found.centroids, found.assignment, alpha=3.0, temperature=0.5)
        torch.testing.assert_close(concentration(points, found, 3.0, 0.5), expected)

    def test_tight_clusters_have_a_small_one(self):
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(30, 4, generator=generator)
        points = torch.cat([noise[:15] * 0.01, noise[15:] + 10])
        clusters = Clusters(torch.stack([points[:15].mean(0), points[15:].mean(0)]), torch.arange(30) // 15)
        tight, wide = concentration(points, clusters, 10.0, 0.2)
        assert tight < wide / 5
        torch.testing.assert_close((tight + wide) / 2, torch.tensor(0.2))

    def test_clusters_of_one_point_and_of_none(self):
        points = torch.eye(4)
        clusters = Clusters(torch.eye(5, 4), torch.arange(4))
        torch.testing.assert_close(concentration(points, clusters, 10.0, 0.2), torch.full((5,), 0.2))
        torch.testing.assert_close(concentration(points, clusters, 0.0, 0.2), torch.full((5,), 0.2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": (4, 65)}, "method.clusters=65: expected at most as many as the 64 images"),
        ({"queue_size": 12}, "queue_size=12: expected a multiple of the 8 keys"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        build(**settings)
