"""k-means against its definition."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import make_blobs

from sslfast.errors import UsageError
from sslfast.methods.parts.clustering import check_clusters, kmeans, nearest, sums, whiten


def blobs(k=5, count=200, dim=3, scale=0.05):
    points, labels = make_blobs(count, dim, centers=k, cluster_std=scale, random_state=0)
    return torch.from_numpy(points).float(), torch.from_numpy(labels)


def points(count=120, dim=6, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def same_partition(left, right):
    return torch.equal(left[:, None] == left, right[:, None] == right)


@pytest.mark.parametrize("spherical", [False, True])
def test_clusters_that_lie_apart_are_found(spherical):
    x, labels = blobs()
    x = F.normalize(x, dim=1) if spherical else x
    # Each run may end in a local optimum.
    runs = [kmeans(x, 5, seed=seed, epoch=0, spherical=spherical) for seed in range(20)]
    assert any(same_partition(found.assignment, labels) for found in runs)


@pytest.mark.parametrize("spherical", [False, True])
def test_the_result_is_a_fixed_point_of_lloyds_iteration(spherical):
    x = points()
    x = F.normalize(x, dim=1) if spherical else x
    found = kmeans(x, 8, seed=3, epoch=1, iterations=60, spherical=spherical)
    distance = -x @ found.centroids.T if spherical else torch.cdist(x, found.centroids)
    assert torch.equal(found.assignment, distance.argmin(dim=1))
    means = torch.stack([x[found.assignment == k].mean(0) for k in range(8)])
    torch.testing.assert_close(found.centroids, F.normalize(means, dim=1) if spherical else means)


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_nearest_is_nearest_by_distance(scale, offset):
    x = (points(300) + offset) * scale
    centroids = (points(40, seed=1) * 0.7 + offset) * scale
    distances = torch.cdist(x.double(), centroids.double())
    chosen = distances.gather(1, nearest(x, centroids)[:, None]).squeeze(1)
    torch.testing.assert_close(chosen, distances.amin(1), rtol=1e-3, atol=0)


def test_the_same_key_gives_the_same_clusters_and_another_key_others():
    x = points()
    state = torch.get_rng_state()
    first = kmeans(x, 8, seed=3, epoch=1, run=0)
    assert torch.equal(first.centroids, kmeans(x, 8, seed=3, epoch=1, run=0).centroids)
    for key in ((4, 1, 0), (3, 2, 0), (3, 1, 1)):
        seed, epoch, run = key
        assert not torch.equal(first.assignment, kmeans(x, 8, seed=seed, epoch=epoch, run=run).assignment), key
    assert torch.equal(torch.get_rng_state(), state)


def test_a_cluster_left_empty_starts_anew_at_the_farthest_points():
    """Two of three first centroids are one point in two copies; the lower one takes all of its points."""
    x = torch.cat([torch.zeros(20, 2), torch.tensor([[5.0, 0.0], [0.0, 7.0]])])
    for seed in range(10):
        found = kmeans(x, 3, seed=seed, epoch=0)
        assert sorted(found.sizes().tolist()) == [1, 1, 20]


def test_more_clusters_than_different_points_leave_some_empty():
    found = kmeans(torch.ones(6, 3), 4, seed=0, epoch=0)
    assert found.centroids.isfinite().all()
    assert found.sizes().sum() == 6


def test_as_many_clusters_as_points():
    found = kmeans(points(10), 10, seed=0, epoch=0)
    assert found.sizes().tolist() == [1] * 10


def test_one_cluster_is_the_mean():
    x = points(10)
    found = kmeans(x, 1, seed=0, epoch=0)
    torch.testing.assert_close(found.centroids, x.mean(0, keepdim=True))


def test_more_clusters_than_points_are_refused():
    with pytest.raises(ValueError, match="kmeans: expected 1 to 10 clusters, as many as points, got k=11"):
        kmeans(points(10), 11, seed=0, epoch=0)
    with pytest.raises(UsageError, match="method.clusters=11: expected at most as many as the 10 images"):
        check_clusters("method.clusters", 11, 10)
    check_clusters("method.clusters", 10, 10)


def test_sums_over_clusters():
    values, assignment = points(7), torch.tensor([3, 0, 3, 1, 0, 3, 3])
    expected = torch.zeros(5, 6).index_add_(0, assignment, values)
    torch.testing.assert_close(sums(values, assignment, torch.tensor([2, 1, 0, 4, 0])), expected)


def test_whitened_components_are_uncorrelated_and_alike_in_variance():
    x = points(2000, 6) @ points(6, 6, seed=2) + 5.0
    white = whiten(x, 6)
    torch.testing.assert_close(white.norm(dim=1), torch.ones(2000))
    covariance = white.T @ white / 2000
    torch.testing.assert_close(covariance, torch.eye(6) / 6, rtol=0, atol=0.02)


def test_whitening_keeps_the_components_of_the_greatest_variance():
    x = points(500, 4) * torch.tensor([10.0, 0.1, 5.0, 0.2])
    kept = whiten(x, 2)
    expected = whiten(x[:, [0, 2]], 2)
    torch.testing.assert_close((kept @ kept.T), (expected @ expected.T), rtol=0, atol=2e-2)
    assert whiten(x, 9).shape == (500, 4)


def test_whitening_survives_a_feature_that_never_varies():
    x = points(50, 4)
    x[:, 1] = 2.0
    assert whiten(x, 4).isfinite().all()
    assert whiten(torch.ones(50, 4), 4).isfinite().all()
