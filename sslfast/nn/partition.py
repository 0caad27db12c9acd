"""The log-partition of a batch: what DCL's loss and uniformity have in place of a contrast with a positive."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast import kernels as K
from sslfast.distributed import gather, local_rows, world_size


def log_partition(z: Tensor, *, num_views: int, temperature: float, over_ranks: bool = True) -> Tensor:
    """Computes the log of each embedding's sum of exp(similarity / t) over all embeddings of other images.

    It is that of the negatives in InfoNCE with a positive whose logit is 0, here a key of zeros: that loss is
    l = log(1 + S), hence log S = l + log(1 - exp(-l)). No matrix of similarities is kept. Where S is far below
    1, as with no embedding but opposite ones, it has few digits.

    Args:
        z: (num_views * B, D), of length 1: one view of each of this rank's B images, then another of each, and so
            on.
        num_views: how many views there are; there is more than one image in all.
        temperature: t > 0, divides the similarities.
        over_ranks: the embeddings are those of all ranks; else this rank's.

    Returns:
        fp32 (fp64 of fp64), (num_views * B,).
    """
    num_images, ranks = len(z) // num_views, world_size() if over_ranks else 1
    images = torch.arange(ranks * num_images, device=z.device)
    images = images.view(-1, 1, num_images).expand(-1, num_views, -1).flatten()  # of all embeddings
    losses = K.in_batch_info_nce(
        z,
        torch.cat([gather(z) if over_ranks else z, z.new_zeros(1, z.shape[1])]),
        temperature=temperature,
        offset=len(images),
        chunks=len(z),  # all have the key of zeros as their positive
        ids=(local_rows(images) if over_ranks else images, torch.cat([images, images.new_full((1,), -1)])),
        reduction="none",
    )
    return losses + torch.log(-torch.expm1(-losses))
