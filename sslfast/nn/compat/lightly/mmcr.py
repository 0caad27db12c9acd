"""The loss of maximum manifold capacity representations, MMCR."""

import torch
from torch import Tensor, nn

from sslfast.kernels.common import checks


class MMCRLoss(nn.Module):
    """`lightly.loss.MMCRLoss`: the nuclear norms of centroids and of each sample's views. Plain PyTorch.

    It takes the singular values alone, where the original takes the vectors with them.

    Args:
        lmda: weight of the views' norms, at least 0.

    Raises:
        ValueError: a lmda below 0.
    """

    def __init__(self, lmda: float = 5e-3) -> None:
        super().__init__()
        if not checks.is_not_negative(lmda):
            raise ValueError(f"MMCRLoss: expected lmda to be at least 0, got {lmda!r}")
        self.lmda = lmda

    def forward(self, online: Tensor, momentum: Tensor) -> Tensor:
        """Computes the loss of both networks' embeddings of k views, (N, k, D) each.

        Raises:
            ValueError: other shapes.
        """
        if online.ndim != 3 or momentum.shape != online.shape:
            raise ValueError(
                f"MMCRLoss: expected online and momentum of one shape (N, k, D), got {tuple(online.shape)} "
                f"and {tuple(momentum.shape)}"
            )
        z = torch.cat([online, momentum], dim=1)
        centroids, views = torch.linalg.svdvals(z.mean(dim=1)), torch.linalg.svdvals(z)
        return self.lmda * views.sum() / len(z) - centroids.sum()
