"""The softmax whose classes are vectors that are not trained: images of a memory bank, centroids of clusters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslfast import kernels as K


def softmax_loss(query: Tensor, classes: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Computes the cross-entropy of each query's own class among all classes, without the N x K matrix of logits.

    It is that of Wu et al. 2018 (arXiv:1805.01978, equation 2); as PyTorch:

        F.cross_entropy(query @ classes.T / temperature, target, reduction="none")

    With all classes as the queue, InfoNCE meets the positive twice: for the softmax's probability p of the target,
    its loss is l = log(1 + 1 / p). Hence -log p = log(exp(l) - 1) = l + log(1 - exp(-l)).

    Args:
        query: (N, D), trained; used as given.
        classes: (K, D), not trained; used as given, same dtype as `query`.
        target: int64 (N,), in [0, K).
        temperature: t > 0, divides the logits.

    Returns:
        fp32 (N,).
    """
    doubled = K.info_nce(query, classes[target], classes, temperature=temperature, reduction="none")
    return doubled + torch.log(-torch.expm1(-doubled))


class Prototypes(nn.Module):
    """Several clusterings of the images: a prototype of each cluster, and the cluster of each image.

    Args:
        clusters: k of each clustering.
        num_images: how many images there are.
        dim: the width of a prototype.

    Attributes:
        assignments: int64 (clusterings, num_images), the cluster of each image.
        buffer_bounds: the least and the largest value of a buffer, by its name.
    """

    assignments: Tensor

    def __init__(self, clusters: Sequence[int], num_images: int, dim: int) -> None:
        super().__init__()
        for n, k in enumerate(clusters):
            self.register_buffer(f"vectors{n}", torch.zeros(k, dim))
        self.register_buffer("assignments", torch.zeros(len(clusters), num_images, dtype=torch.int64))
        self.buffer_bounds = {"assignments": (0, torch.tensor(clusters)[:, None] - 1)}

    def vectors(self, n: int) -> Tensor:
        """Returns the prototypes of a clustering, fp32 (k, dim)."""
        return self.get_buffer(f"vectors{n}")

    def replace(self, n: int, vectors: Tensor, images: Tensor, assignment: Tensor) -> None:
        """Sets a clustering.

        Args:
            n: the clustering's number.
            vectors: (k, dim), its prototypes.
            images: int64 (M,), the images that were clustered.
            assignment: int64 (M,), their clusters.
        """
        self.vectors(n).copy_(vectors)
        self.assignments[n, images.to(assignment.device)] = assignment

    def losses(self, query: Tensor, index: Tensor, *, temperature: float) -> Tensor:
        """Computes each query's `softmax_loss` against each clustering's prototypes: fp32 (clusterings, N).

        Args:
            query: (N, dim), trained.
            index: int64 (N,), the images of the queries.
            temperature: t > 0, divides the logits.
        """
        return torch.stack(
            [
                softmax_loss(query, self.vectors(n), target, temperature=temperature)
                for n, target in enumerate(self.assignments[:, index])
            ]
        )
