"""The supervised contrastive loss as a module."""

from torch import Tensor

from sslfast import kernels as K
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import Impl
from sslfast.kernels.sup_con.op import OP
from sslfast.nn.contrastive import ContrastiveLoss


class SupConLoss(ContrastiveLoss):
    """The supervised contrastive loss (Khosla et al. 2020, equation 2): `kernels.sup_con`.

    Normalize the features before. Several views of an image are rows with the same label.

        loss = SupConLoss(temperature=0.1)
        loss(features, labels)  # (M, D), (M,) -> scalar, or (M,) with reduction="none"

    Args:
        temperature, impl: see ContrastiveLoss.
        reduction: "mean" over the anchors that have a positive, "sum", or "none".
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

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return K.sup_con(features, labels, **self.settings())
