"""k-means on the device of its data, a function of the data and a key alone.

Points are assigned by `nearest_neighbor`, without the N x K matrix of distances. Nothing here is part of a
training step: methods cluster once an epoch, and may wait for the device there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast import kernels as K
from sslfast.config import DataConfig
from sslfast.errors import UsageError
from sslfast.random.key import Stream
from sslfast.views import Key


@dataclass(frozen=True)
class Clusters:
    """k clusters of N points.

    Attributes:
        centroids: fp32 (k, D).
        assignment: int64 (N,), each point's nearest centroid.
    """

    centroids: Tensor
    assignment: Tensor

    def sizes(self) -> Tensor:
        """Tells how many points each cluster has: int64 (k,)."""
        return sizes(self.assignment, len(self.centroids))


@torch.no_grad()
def kmeans(
    points: Tensor,
    k: int,
    *,
    seed: int,
    epoch: int,
    run: int = 0,
    iterations: int = 20,
    spherical: bool = False,
    check_interrupt: Callable[[], None] = lambda: None,
) -> Clusters:
    """Runs Lloyd's k-means, from k of the points, drawn without replacement.

    An iteration assigns every point to its nearest centroid and moves each centroid to the mean of its points. A
    cluster that is left without points starts anew at one of the points that lie farthest from their centroids:
    ours, where others split large clusters.

    Args:
        points: fp32 (N, D); for `spherical`, of length 1.
        k: clusters, at most N.
        seed, epoch, run: what the first centroids depend on; `run` tells several clusterings of an epoch apart.
        iterations: moves of the centroids, at least 1.
        spherical: by cosine similarity; the centroids are kept at length 1.
        check_interrupt: is called before each iteration; what it raises ends the clustering.

    Raises:
        ValueError: more clusters than points.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"kmeans: expected 1 to {len(points)} clusters, as many as points, got k={k}")
    key = Key(seed, epoch, torch.arange(len(points), device=points.device), view=run)
    centroids = points[key.uniform(Stream.CENTROID, 1).flatten().argsort(stable=True)[:k]]
    assignment = nearest(points, centroids, spherical)
    for _ in range(iterations):
        check_interrupt()
        counts = sizes(assignment, k)
        means = sums(points, assignment, counts) / counts.clamp(min=1)[:, None]
        farthest = squared_distances(points, centroids, assignment).argsort(descending=True, stable=True)[:k]
        empty = counts == 0
        replacements = points[farthest[empty.cumsum(0) - 1]]
        centroids = torch.where(empty[:, None], replacements, means)
        if spherical:
            centroids = F.normalize(centroids, dim=1)
        assignment = nearest(points, centroids, spherical)
    return Clusters(centroids, assignment)


def nearest(points: Tensor, centroids: Tensor, spherical: bool = False) -> Tensor:
    """Finds the index of each point's nearest centroid, by distance, or by cosine similarity: int64 (N,).

    With everything within a radius of 1, which shifting and scaling achieve,

        argmin |x - c|^2  =  argmax <(x, 1, 0), (c, -|c|^2 / 2, r(c))>

    where r(c) gives all right sides one length: then the cosine ranks as the inner product does.
    """
    if not spherical:
        center = centroids.mean(dim=0)
        points, centroids = points - center, centroids - center
        radius = torch.maximum(points.norm(dim=1).max(), centroids.norm(dim=1).max())
        radius = radius.clamp(min=torch.finfo(radius.dtype).tiny)
        points, centroids = points / radius, centroids / radius
        half = centroids.square().sum(dim=1, keepdim=True) / 2  # [K, 1], at most 1/2
        rest = (1.25 - 2 * half - half**2).clamp(min=0).sqrt()
        centroids = torch.cat([centroids, -half, rest], dim=1)
        points = F.pad(F.pad(points, (0, 1), value=1.0), (0, 1))
    indices, _ = K.nearest_neighbor(points, centroids)
    return indices


def squared_distances(points: Tensor, centroids: Tensor, assignment: Tensor) -> Tensor:
    """Computes each point's squared distance from its own centroid: (N,)."""
    return (points - centroids[assignment]).square().sum(dim=1)


def sizes(assignment: Tensor, k: int) -> Tensor:
    """Tells how many points each of k clusters has: int64 (k,)."""
    return torch.zeros(k, dtype=torch.int64, device=assignment.device).scatter_add_(
        0, assignment, torch.ones_like(assignment)
    )


def sums(values: Tensor, assignment: Tensor, counts: Tensor) -> Tensor:
    """Adds up the values of each cluster's points: (N, ...) to (k, ...).

    In the order of the points: atomic additions would make the sums differ from run to run.
    """
    ordered = values[assignment.argsort(stable=True)]
    return torch.segment_reduce(ordered, "sum", lengths=counts, axis=0)


def whiten(points: Tensor, dim: int) -> Tensor:
    """Projects points on their first `dim` principal components, each of variance 1; then rows are of length 1.

    DeepCluster clusters these (Caron et al. 2018, section 3.3).

    Args:
        points: fp32 (N, D).
        dim: how many components, at most D; directions without variance stay near 0.

    Returns:
        fp32 (N, min(dim, D)).
    """
    centered = points - points.mean(dim=0)
    variances, directions = torch.linalg.eigh((centered.T @ centered).double() / len(points))  # rising
    variances, directions = variances[-dim:], directions[:, -dim:]
    floor = variances[-1].clamp(min=torch.finfo(torch.float32).tiny) * 1e-6
    scaled = directions / variances.clamp(min=floor).sqrt()
    return F.normalize(centered @ scaled.to(points.dtype), dim=1)


def check_clusters(setting: str, num_clusters: int, num_images: int, data: DataConfig | None = None) -> None:
    """Refuses more clusters than there are images.

    Args:
        setting: the name of the setting that gives the number of clusters, for the message.
        num_clusters: how many clusters there are to be.
        num_images: how many images there are to train on.
        data: given where embeddings of the images are clustered, of which there may be fewer: an image that cannot
            be read has none, and up to a share `max_bad` of all, those held out among them, are left out.

    Raises:
        UsageError: there are.
    """
    unreadable, reason = 0, ""
    if data is not None and data.on_error == "skip":
        unreadable = int(data.max_bad * num_images / (1 - data.val_fraction))
    if unreadable:
        reason = f", less {unreadable} that may be unreadable by data.max_bad"
    if num_clusters > num_images - unreadable:
        raise UsageError(
            f"{setting}={num_clusters}: expected at most as many as the {num_images} images to train on{reason}"
        )
