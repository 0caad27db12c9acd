"""DeepCluster and DeepCluster v2."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods.parts.clustering import kmeans, whiten
from tests.methods.harness import BATCH, IMAGES, KEEP, SIDE, SKIP, build_method, embed, tiny_batch


def build(name, views, **settings):
    data = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()] * views)
    return build_method(name, data=data, **settings)


class TestV1:
    def build(self, **settings):
        return build("deepcluster", 1, **{"clusters": 6, "components": 4, **settings})

    def test_labels_are_the_clusters_of_the_whitened_features(self):
        method = self.build()
        method.start_epoch(3, embed)
        features = whiten(embed(method.encoder)[0], 4)
        assert torch.equal(method.labels, kmeans(features, 6, seed=0, epoch=3).assignment)

    def test_loss_and_gradients_equal_the_transcription(self):
        """The paper's uniform sampling over clusters, in expectation: weights inverse to their sizes."""
        method, batch = self.build(), tiny_batch(1)
        method.start_epoch(0, embed)
        encoder, classifier = copy.deepcopy(method.encoder), copy.deepcopy(method.classifier)
        label = method.labels[batch.index]
        log_p = F.log_softmax(classifier(encoder(batch.views[0])), dim=1)
        sizes = torch.bincount(method.labels, minlength=6)
        weight = IMAGES / (6 * sizes[label])
        expected = -(weight * log_p[torch.arange(BATCH), label]).mean()
        expected.backward()
        loss, metrics, _ = method.loss(batch)
        loss.backward()
        torch.testing.assert_close(loss, expected)
        for ours, theirs in zip(method.encoder.parameters(), encoder.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)
        assert metrics["accuracy"] == (log_p.argmax(1) == label).float().mean()

    def test_every_cluster_weighs_alike(self):
        method = self.build()
        method.start_epoch(0, embed)
        weights = method.weights[method.labels]
        torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
        mass = torch.zeros(6).index_add_(0, method.labels, weights)
        torch.testing.assert_close(mass, torch.full((6,), IMAGES / 6))

    def test_clusters_without_images_do_not_count(self):
        """Images of two kinds fill at most two of six clusters."""
        method = self.build()
        features = torch.eye(method.encoder.feature_dim)[torch.arange(IMAGES) % 2]
        method.start_epoch(0, lambda network: (features, torch.arange(IMAGES)))
        assert len(method.labels.unique()) == 2
        torch.testing.assert_close(method.weights[method.labels], torch.ones(IMAGES))

    def test_the_classifier_starts_anew_with_every_clustering(self):
        method = self.build(reassign_every=2)
        method.start_epoch(0, embed)
        first = method.classifier.weight.clone()
        assert 0.005 < first.std() < 0.02
        with torch.no_grad():
            method.classifier.bias.fill_(1.0)
        method.start_epoch(1, embed)
        assert torch.equal(method.classifier.weight, first)
        assert method.classifier.bias.sum() == 6
        method.start_epoch(2, embed)
        assert not torch.isclose(method.classifier.weight, first).any()
        assert method.classifier.bias.sum() == 0

    def test_an_epoch_starts_the_same_whatever_the_generators_state(self):
        left, right = self.build(), self.build()
        left.start_epoch(4, embed)
        torch.manual_seed(9)
        right.start_epoch(4, embed)
        for key, value in left.state_dict().items():
            assert torch.equal(value, right.state_dict()[key]), key

    def test_images_that_cannot_be_read_take_no_part(self):
        method = self.build()
        method.start_epoch(0, lambda network: embed(network, num_readable=50))
        torch.testing.assert_close(method.weights[method.labels[:50]].mean(), torch.tensor(1.0))

    def test_more_clusters_than_images_are_refused(self):
        with pytest.raises(UsageError, match="method.clusters=65: expected at most as many as the 64 images"):
            self.build(clusters=65)


class TestV2:
    def build(self, **settings):
        return build("deepcluster_v2", 3, **{"dim": 8, "hidden": 16, "clusters": (5, 7, 5), **settings})

    def batch(self, seed=1):
        whole = tiny_batch(2, seed=seed)
        return replace(whole, views=whole.views + tiny_batch(1, side=8, seed=seed).views)

    def test_loss_and_gradients_equal_the_transcription(self):
        method, batch = self.build(), self.batch()
        method.start_epoch(0, embed)
        network = copy.deepcopy(method)
        features = torch.cat([network.encoder(torch.cat(batch.views[:2])), network.encoder(batch.views[2])])
        z = F.normalize(network.head(features), dim=1)
        expected = torch.zeros(())
        for n in range(3):
            target = method.prototypes.assignments[n, batch.index].repeat(3)
            expected = expected + F.cross_entropy(z @ method.prototypes.vectors(n).T / 0.1, target) / 3
        expected.backward()
        loss, *_ = method.loss(batch)
        loss.backward()
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)

    def test_prototypes_are_centroids_of_length_1(self):
        method = self.build()
        method.start_epoch(0, embed)
        for n, k in enumerate((5, 7, 5)):
            assert method.prototypes.vectors(n).shape == (k, 8)
            torch.testing.assert_close(method.prototypes.vectors(n).norm(dim=1), torch.ones(k))
        assert not torch.equal(method.prototypes.vectors(0), method.prototypes.vectors(2))  # they start elsewhere

    def test_the_first_clustering_is_of_the_images_the_next_of_the_bank(self):
        method, batch = self.build(), self.batch()
        method.start_epoch(0, embed)
        first = F.normalize(embed(torch.nn.Sequential(method.encoder, method.head))[0], dim=1)
        torch.testing.assert_close(method.bank, torch.stack([first, first]))
        *_, kept = method.loss(batch)
        method.after_step(kept, 0, 1, KEEP)
        assert not torch.allclose(method.bank[:, :BATCH], torch.stack([first, first])[:, :BATCH], atol=1e-3)
        torch.testing.assert_close(method.bank[:, BATCH:], torch.stack([first, first])[:, BATCH:])

        method.start_epoch(1, lambda _: pytest.fail("embeds only before the first epoch"))
        for n, k in enumerate((5, 7, 5)):
            bank = method.bank[n % 2]
            found = kmeans(bank, k, seed=0, epoch=1, run=n, iterations=10, spherical=True)
            assert torch.equal(method.prototypes.assignments[n], found.assignment)
            assert torch.equal(method.prototypes.vectors(n), found.centroids)

    def test_the_bank_holds_what_the_global_crops_were_embedded_as(self):
        method, batch = self.build(), self.batch()
        method.start_epoch(0, embed)
        method.eval()
        features = torch.cat([method.encoder(view) for view in batch.views[:2]])
        expected = F.normalize(method.head(features), dim=1).chunk(2)
        before = method.bank.clone()
        *_, kept = method.loss(batch)
        assert torch.equal(method.bank, before)
        method.after_step(kept, 0, 1, SKIP)
        assert torch.equal(method.bank, before)
        method.after_step(kept, 0, 1, KEEP)
        torch.testing.assert_close(method.bank[:, batch.index], torch.stack(expected))

    def test_images_that_cannot_be_read_take_no_part(self):
        method = self.build()
        method.start_epoch(0, lambda network: embed(network, num_readable=50))
        found = kmeans(method.bank[0, :50], 5, seed=0, epoch=0, iterations=10, spherical=True)
        assert torch.equal(method.prototypes.vectors(0), found.centroids)

    def test_more_clusters_than_images_are_refused(self):
        with pytest.raises(UsageError, match="method.clusters=65: expected at most as many as the 64 images"):
            self.build(clusters=(3, 65))
