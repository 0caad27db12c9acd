"""VICReg's loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.nn.compat.lightly.common import check_gathering, check_pair, gathered
from sslfast.nn.vicreg import EPSILON, redundancy, std_hinge


class VICRegLoss(nn.Module):
    """`lightly.loss.VICRegLoss`: invariance, variance and covariance. Plain PyTorch.

    The covariances are of D x D or of N x N products, whichever is smaller. As in the authors' code the variance
    term is the mean of both views', the paper's their sum.

    Args:
        lambda_param: weight of the invariance.
        mu_param: weight of the variance.
        nu_param: weight of the covariance.
        gather_distributed: variance and covariance are of the samples of all ranks.
        eps: added to the variances.

    Raises:
        ValueError: gathering by a torch without torch.distributed.
    """

    def __init__(
        self,
        lambda_param: float = 25.0,
        mu_param: float = 25.0,
        nu_param: float = 1.0,
        gather_distributed: bool = False,
        eps: float = EPSILON,
    ) -> None:
        super().__init__()
        check_gathering("VICRegLoss", gather_distributed)
        self.lambda_param, self.mu_param, self.nu_param = lambda_param, mu_param, nu_param
        self.gather_distributed, self.eps = gather_distributed, eps

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        """Computes the loss of two views' embeddings, (N, D) each, N > 1.

        Raises:
            ValueError: other shapes.
        """
        check_pair("VICRegLoss", z_a, z_b)
        wide = torch.promote_types(z_a.dtype, torch.float32)
        with torch.autocast(z_a.device.type, enabled=False):  # the covariances are differences of large sums
            z_a, z_b = z_a.to(wide), z_b.to(wide)
            invariance = F.mse_loss(z_a, z_b)
            z_a, z_b = gathered(self.gather_distributed, z_a, z_b)
            variance = (std_hinge(z_a, eps=self.eps) + std_hinge(z_b, eps=self.eps)) / 2
            covariance = redundancy(z_a) + redundancy(z_b)
        return self.lambda_param * invariance + self.mu_param * variance + self.nu_param * covariance
