"""What the losses with a temperature have in common."""

from typing import Any

from torch import nn

from sslfast.kernels.common import checks
from sslfast.kernels.common.op import Impl


class ContrastiveLoss(nn.Module):
    """Keeps a loss's settings: attributes that may be changed between calls, such as by a schedule.

    Args:
        temperature: t > 0, divides the logits. There is no default: published values differ by a factor of 10.
        reduction: "mean", "sum" or "none".
        impl: "auto", or an implementation by name, as the op takes it.

    Raises:
        ValueError: a temperature or reduction out of range.
    """

    def __init__(self, *, temperature: float, reduction: checks.Reduction = "mean", impl: Impl = "auto") -> None:
        super().__init__()
        checks.check_temperature(type(self).__name__, temperature)
        checks.check_reduction(type(self).__name__, reduction)
        self.temperature, self.reduction, self.impl = temperature, reduction, impl

    def settings(self) -> dict[str, Any]:
        """The op's keyword arguments."""
        return {"temperature": self.temperature, "reduction": self.reduction, "impl": self.impl}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
