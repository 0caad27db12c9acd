"""TiCo's loss."""

import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.nn.compat.lightly.common import check_gathering, check_pair, gathered


class TiCoLoss(nn.Module):
    """`lightly.loss.TiCoLoss`: invariance, and contrast by a moving average of the covariance. Plain PyTorch.

    Args:
        beta: momentum of the covariance's moving average.
        rho: weight of the contrast.
        gather_distributed: the samples are those of all ranks.

    Attributes:
        C: the moving average, (D, D), or None before the first step; as in the original not in the state dict.

    Raises:
        ValueError: gathering by a torch without torch.distributed.
    """

    C: Tensor | None

    def __init__(self, beta: float = 0.9, rho: float = 8.0, gather_distributed: bool = False) -> None:
        super().__init__()
        check_gathering("TiCoLoss", gather_distributed)
        self.beta, self.rho, self.gather_distributed = beta, rho, gather_distributed
        self.C = None

    def forward(self, z_a: Tensor, z_b: Tensor, update_covariance_matrix: bool = True) -> Tensor:
        """Computes the loss of two views' embeddings, (N, D) each, N > 1.

        Args:
            z_a, z_b: normalized to length 1 here; the covariance is of z_a.
            update_covariance_matrix: keep the moving average that this batch has moved.

        Raises:
            ValueError: other shapes.
        """
        check_pair("TiCoLoss", z_a, z_b)
        z_a, z_b = (F.normalize(z, dim=1) for z in gathered(self.gather_distributed, z_a, z_b))
        rows = z_a.detach()
        covariance = (1 - self.beta) * rows.T @ rows / len(rows)
        if self.C is not None:
            covariance = covariance + self.beta * self.C
        if update_covariance_matrix:
            self.C = covariance
        return 1 - (z_a * z_b).sum(dim=1).mean() + self.rho * ((z_a @ covariance) * z_a).sum(dim=1).mean()
