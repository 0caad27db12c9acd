"""SGD whose step moves what follows the parameters, too."""

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor

from sslfast.kernels.common.op import Impl
from sslfast.kernels.fused_optimizer import sgd_ema_step_
from sslfast.kernels.optimizers.base import Bucket, FusedOptimizer


class FusedSGD(FusedOptimizer):
    """torch.optim.SGD, fused with what follows the parameters: see `FusedOptimizer` and `sgd_ema_step_`.

    Args:
        params: parameters or groups of them.
        lr: learning rate; a float or a 0-d tensor.
        momentum: decay of the momentum.
        weight_decay: an L2 penalty.
        nesterov: whether momentum is Nesterov's.
        impl: of the step: "auto", "reference", "cpp" (CPU) or "cuda".
    """

    options = ("lr", "momentum", "weight_decay", "nesterov")
    neutral: ClassVar[dict[str, Any]] = {"dampening": 0.0, "maximize": False, "differentiable": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        impl: Impl = "auto",
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {**defaults, "dampening": 0.0}, impl)  # torch's SGD looks for it in a state dict

    def _update(self, bucket: Bucket, group: dict[str, Any], **following: Any) -> None:
        momenta = self._zero_state(bucket.params, "momentum_buffer") if group["momentum"] else []
        options = {name: group[name] for name in self.options}
        sgd_ema_step_(bucket.params, bucket.grads, momenta, **options, **following)
