"""The loss of model-aware contrastive learning, MACL."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.kernels.common import checks


class MACLLoss(nn.Module):
    """`lightly.loss.MACLLoss`: NT-Xent whose temperature follows the positives' similarity, by `kernels.nt_xent`.

    Args:
        temperature: > 0, at which the positives' mean similarity is A_0.
        alpha: how far that mean moves it, 0 to 1.
        A_0: 0 to 1.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, temperature: float = 0.1, alpha: float = 0.5, A_0: float = 0.0) -> None:
        super().__init__()
        checks.check_temperature("MACLLoss", temperature)
        for name, number in (("alpha", alpha), ("A_0", A_0)):
            if not 0 <= number <= 1:
                raise ValueError(f"MACLLoss: expected {name} from 0 to 1, got {number!r}")
        self.temperature, self.alpha, self.A_0, self.eps = temperature, alpha, A_0, 1e-8

    def forward(self, z0: Tensor, z1: Tensor) -> Tensor:
        """Computes the mean loss of two views' embeddings, (N, D) each, which are normalized to length 1 here."""
        z0, z1 = F.normalize(z0, dim=-1), F.normalize(z1, dim=-1)
        similarity = (z0.detach() * z1.detach()).sum(dim=1).mean()
        similarity = similarity.to(torch.promote_types(similarity.dtype, torch.float32))
        temperature = self.temperature * (1 + self.alpha * (similarity - self.A_0))
        losses = K.nt_xent(z0, z1, temperature=temperature, reduction="none")
        weights = 1 / (1 + self.eps - torch.exp(-losses.detach()))
        return (weights * losses).mean()
