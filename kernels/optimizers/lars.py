"""LARS whose step moves what follows the parameters, too."""

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor

from sslfast.kernels.common.op import Impl
from sslfast.kernels.fused_optimizer import lars_ema_step_, sgd_ema_step_
from sslfast.kernels.optimizers.base import Bucket, FusedOptimizer


class FusedLARS(FusedOptimizer):
    """LARS, fused with what follows the parameters: see `FusedOptimizer` and `lars_ema_step_`.

    The norm is taken of d = g + b w, as in the code published with SimCLR, BYOL and Barlow Twins, where the paper
    divides by |g| + b |w|. The learning rate multiplies the momentum, as in torch's SGD and Barlow Twins' code,
    where the paper and SimCLR's code accumulate it in v; the two differ only while it changes. No Nesterov
    momentum. A group with `adapt=False` (biases, the scales and shifts of normalization layers) takes plain SGD
    steps.

    Args:
        params: parameters or groups of them; a group may set any of the options and `adapt` (default True).
        lr: learning rate; a float or a 0-d tensor.
        momentum: decay of the momentum.
        weight_decay: an L2 penalty.
        trust_coefficient: eta in the paper.
        impl: of the step: "auto", "reference", "cpp" (CPU) or "cuda".
    """

    options = ("lr", "momentum", "weight_decay", "trust_coefficient", "adapt")
    neutral: ClassVar[dict[str, Any]] = {
        "dampening": 0.0,
        "nesterov": False,
        "maximize": False,
        "differentiable": False,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        impl: Impl = "auto",
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "trust_coefficient": trust_coefficient, "adapt": True}, impl)

    def _update(self, bucket: Bucket, group: dict[str, Any], **following: Any) -> None:
        momenta = self._zero_state(bucket.params, "momentum_buffer") if group["momentum"] else []
        options = {name: group[name] for name in ("lr", "momentum", "weight_decay")}
        if group["adapt"]:
            trust = group["trust_coefficient"]
            lars_ema_step_(bucket.params, bucket.grads, momenta, trust_coefficient=trust, **options, **following)
        else:
            sgd_ema_step_(bucket.params, bucket.grads, momenta, **options, **following)
