"""Alignment and uniformity of embeddings (Wang and Isola 2020, arXiv:2005.10242), as losses and as metrics."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sslfast.distributed import gather
from sslfast.nn.partition import log_partition


def alignment(x: Tensor, y: Tensor, *, alpha: float = 2.0) -> Tensor:
    """Computes the mean distance between the two views of an image, to the power alpha (section 4.1.1), a scalar.

    0 where the views of each image have the same embedding; 2 at alpha=2 where they have nothing to do with each
    other. Of several processes it is of this rank's images.

    Args:
        x, y: (B, D), of length 1, embeddings of one view and the other of the same images.
        alpha: > 0.
    """
    return (x - y).norm(dim=1).pow(alpha).mean()


def uniformity(x: Tensor, *, t: float = 2.0) -> Tensor:
    """Computes the log of the mean of exp(-t |x_i - x_j|^2) over all pairs of images (section 4.1.2), a scalar.

    0 where all embeddings are the same, and the less the more evenly they are spread: down to about -2 t in many
    dimensions. The pairs are those of all ranks' images.

    Args:
        x: (B, D), of length 1, of different images; B > 1 over all ranks.
        t: > 0.
    """
    # |x_i - x_j|^2 = 2 - 2 <x_i, x_j>
    rows = gather(log_partition(x, num_views=1, temperature=1 / (2 * t)))
    return torch.logsumexp(rows, dim=0) - math.log(len(rows) * (len(rows) - 1)) - 2 * t
