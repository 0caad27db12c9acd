"""AdamW whose step moves what follows the parameters, too."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from sslfast.kernels.common.op import Impl
from sslfast.kernels.fused_optimizer import adamw_ema_step_
from sslfast.kernels.optimizers.base import Bucket, FusedOptimizer


class FusedAdamW(FusedOptimizer):
    """torch.optim.AdamW, fused with what follows the parameters: see `FusedOptimizer` and `adamw_ema_step_`.

    Args:
        params: parameters or groups of them.
        lr: learning rate; a float or a 0-d tensor.
        betas: decays of the averages of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: decoupled from the gradient.
        impl: of the step: "auto", "reference", "cpp" (CPU) or "cuda".
    """

    options = ("lr", "betas", "eps", "weight_decay")
    neutral: ClassVar[dict[str, Any]] = {
        "amsgrad": False,
        "maximize": False,
        "differentiable": False,
        "decoupled_weight_decay": True,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        impl: Impl = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        # As torch's own fused AdamW, which then goes on from a state dict of ours as a fused one.
        super().__init__(params, {**defaults, "fused": True}, impl)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for p in (p for group in self.param_groups for p in group["params"]):
            if "step" in self.state.get(p, {}):  # torch's AdamW, unless it is fused, counts on the CPU
                steps = self.state[p]["step"]
                self.state[p]["step"] = torch.as_tensor(steps, dtype=torch.float32, device=p.device)

    def _update(self, bucket: Bucket, group: dict[str, Any], **following: Any) -> None:
        exp_avgs, exp_avg_sqs = (self._zero_state(bucket.params, name) for name in ("exp_avg", "exp_avg_sq"))
        for p in bucket.params:
            if "step" not in self.state[p]:
                self.state[p]["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
        steps = [self.state[p]["step"] for p in bucket.params]
        options = {name: group[name] for name in self.options}
        adamw_ema_step_(bucket.params, bucket.grads, exp_avgs, exp_avg_sqs, steps, **options, **following)
