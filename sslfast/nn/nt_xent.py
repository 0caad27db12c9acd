"""NT-Xent as a module."""

import torch.nn.functional as F
from torch import Tensor

from sslfast import kernels as K
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import Impl
from sslfast.kernels.nt_xent.op import OP
from sslfast.nn.contrastive import ContrastiveLoss


class NTXentLoss(ContrastiveLoss):
    """The normalized temperature-scaled cross-entropy of SimCLR (Chen et al. 2020, equation 1).

    Normalizes the embeddings to length 1, as its name says; `kernels.nt_xent` does not. To have normalized them
    before changes nothing.

        loss = NTXentLoss(temperature=0.5)
        loss(z1, z2)  # (N, D), (N, D) -> scalar, or (2N,) with reduction="none", those of z1 first
        loss(z1, z2, return_rank=True)  # and positive_rank, (2N,), 0 where the positive comes first

    Args:
        temperature, learnable_temperature, reduction, impl: see ContrastiveLoss.
    """

    ops = (OP,)

    def __init__(
        self,
        temperature: float,
        *,
        learnable_temperature: bool = False,
        reduction: Reduction = "mean",
        impl: Impl = "auto",
    ) -> None:
        super().__init__(temperature, learnable_temperature=learnable_temperature, reduction=reduction, impl=impl)

    def forward(self, z1: Tensor, z2: Tensor, *, return_rank: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
        return K.nt_xent(z1, z2, **(self.settings() | {"return_rank": return_rank}))
