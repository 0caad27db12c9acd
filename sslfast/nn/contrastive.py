"""The settings of the losses with a temperature."""

import math
from typing import Any, ClassVar

import torch
from torch import nn

from sslfast.kernels.common import checks
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import Impl, Op, check_impl


class ContrastiveLoss(nn.Module):
    """A loss with a temperature. Its settings are attributes, which a schedule may change between calls.

    Args:
        temperature: t > 0, divides the logits. There is no default: published values differ by a factor of 10.
        learnable_temperature: t is the exponential of a parameter, and starts there: give the loss's parameters to
            the optimizer, without weight decay. CLIP keeps t at 0.01 or above, after each step by
            `loss.log_temperature.data.clamp_(min=math.log(0.01))`.
        reduction: "mean", "sum" or "none".
        impl: "auto", or an implementation by name, as the op takes it.

    Attributes:
        temperature: a float; of a learned one, where it starts.
        log_temperature: a parameter of shape (), the logarithm of t; None where t is not learned.

    Raises:
        ValueError: a temperature, a reduction or an implementation that the op does not take.
    """

    ops: ClassVar[tuple[Op, ...]]  # that `forward` calls
    log_temperature: nn.Parameter | None

    def __init__(
        self,
        temperature: float,
        *,
        learnable_temperature: bool = False,
        reduction: Reduction = "mean",
        impl: Impl = "auto",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        checks.check_temperature(name, temperature)
        checks.check_reduction(name, reduction)
        check_impl(name, impl, *self.ops)
        self.temperature, self.reduction, self.impl = temperature, reduction, impl
        start = nn.Parameter(torch.tensor(math.log(temperature))) if learnable_temperature else None
        self.register_parameter("log_temperature", start)

    def settings(self) -> dict[str, Any]:
        """Returns the op's keyword arguments."""
        learned = self.log_temperature
        temperature = self.temperature if learned is None else learned.float().exp()
        return {"temperature": temperature, "reduction": self.reduction, "impl": self.impl}

    def extra_repr(self) -> str:
        settings = self.settings()
        if self.log_temperature is not None:
            settings |= {"temperature": self.temperature, "learnable_temperature": True}
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())
