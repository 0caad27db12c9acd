"""The loss of Barlow Twins."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.kernels.cross_correlation_loss.op import check_lambd
from sslfast.nn.compat.lightly.common import check_gathering


class BarlowTwinsLoss(nn.Module):
    """`lightly.loss.BarlowTwinsLoss`: `kernels.cross_correlation_loss`.

    Over several processes, where `gather_distributed` averages the ranks' matrices, it is plain PyTorch.

    Args:
        lambda_param: the weight of the elements off the diagonal.
        gather_distributed: takes the mean of the cross-correlation matrices of all ranks.

    Raises:
        ValueError: a lambda_param below 0; gathering by a torch without torch.distributed.
    """

    def __init__(self, lambda_param: float = 5e-3, gather_distributed: bool = False) -> None:
        super().__init__()
        check_lambd("BarlowTwinsLoss", lambda_param, name="lambda_param")
        check_gathering("BarlowTwinsLoss", gather_distributed)
        self.lambda_param = lambda_param
        self.gather_distributed = gather_distributed

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        """Computes the loss of two views' embeddings, (N, D) each."""
        if not (self.gather_distributed and distributed.world_size() > 1):
            return K.cross_correlation_loss(z_a, z_b, lambd=self.lambda_param)
        z_a, z_b = (F.batch_norm(z, None, None, training=True) for z in (z_a, z_b))
        c = distributed.mean(z_a.T @ z_b / len(z_a))  # (D, D)
        weights = torch.full_like(c, self.lambda_param).fill_diagonal_(1)
        return (weights * (c - torch.eye(len(c), device=c.device)).square()).sum()
