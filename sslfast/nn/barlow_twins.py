"""The loss of Barlow Twins as a module."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.kernels.common.op import Impl, check_impl
from sslfast.kernels.cross_correlation_loss.op import OP, check_lambd


class BarlowTwinsLoss(nn.Module):
    """Draws the cross-correlation matrix of two views towards the identity: `kernels.cross_correlation_loss`.

    The loss is Zbontar et al.'s (2021, equation 1). It standardizes the embeddings over the batch itself.

        loss = BarlowTwinsLoss()
        loss(z1, z2)  # (N, D), (N, D) -> scalar

    Args:
        lambd: the weight of the elements off the diagonal; by default the paper's.
        group: processes whose samples together make the batch; None: this process's alone.
        impl: "auto", or an implementation by name, as the op takes it.

    Raises:
        ValueError: a lambd below 0, or an implementation that the op has not; with a group, it has its
            reference only.
    """

    def __init__(
        self, *, lambd: float = 5e-3, group: dist.ProcessGroup | None = None, impl: Impl = "auto"
    ) -> None:
        super().__init__()
        check_lambd(type(self).__name__, lambd)
        check_impl(type(self).__name__, impl, OP, over_group=group is not None)
        self.lambd, self.group, self.impl = lambd, group, impl

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return K.cross_correlation_loss(z1, z2, lambd=self.lambd, group=self.group, impl=self.impl)

    def extra_repr(self) -> str:
        return f"lambd={self.lambd}, impl={self.impl!r}"
