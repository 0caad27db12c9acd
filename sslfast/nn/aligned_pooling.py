"""Aligned pooling as a module."""

from typing import Literal

from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.kernels.aligned_pooling.op import OP, check_order
from sslfast.kernels.common import checks
from sslfast.kernels.common.op import Impl, check_impl


class AlignedPooling(nn.Module):
    """Averages features under learned maps, as in LEWEL (Huang et al. 2022): `kernels.aligned_pooling`.

    It normalizes the maps itself: over their channels, then by a softmax over the positions.

        pool = AlignedPooling(groups=4)
        pool(features, maps)  # (B, D, H, W), (B, d, H, W) -> (B, d / groups, D)

    Args:
        groups: how many groups of channels have maps of their own; divides D and d.
        order: which maps belong to a group: as in the authors' code ("published") or as in the paper's
            equation 2 ("paper").
        impl: "auto", or an implementation by name, as the op takes it.

    Raises:
        ValueError: fewer groups than 1, an order that does not exist, or an implementation that the op has not.
    """

    def __init__(
        self,
        *,
        groups: int = 1,
        order: Literal["published", "paper"] = "published",
        impl: Impl = "auto",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        checks.check_whole_number(name, "groups", groups, least=1)
        check_order(name, order)
        check_impl(name, impl, OP)
        self.groups, self.order, self.impl = groups, order, impl

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        return K.aligned_pooling(features, maps, groups=self.groups, order=self.order, impl=self.impl)

    def extra_repr(self) -> str:
        return f"groups={self.groups}, order={self.order!r}, impl={self.impl!r}"
