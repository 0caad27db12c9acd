"""The settings of the losses with a temperature."""

from typing import Any, ClassVar

from torch import nn

from sslfast.kernels.common import checks
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import Impl, Op, check_impl


class ContrastiveLoss(nn.Module):
    """A loss with a temperature. Its settings are attributes, which a schedule may change between calls.

    Args:
        temperature: t > 0, divides the logits. There is no default: published values differ by a factor of 10.
        reduction: "mean", "sum" or "none".
        impl: "auto", or an implementation by name, as the op takes it.

    Raises:
        ValueError: a temperature, a reduction or an implementation that the op does not take.
    """

    ops: ClassVar[tuple[Op, ...]]  # that `forward` calls

    def __init__(self, temperature: float, *, reduction: Reduction = "mean", impl: Impl = "auto") -> None:
        super().__init__()
        name = type(self).__name__
        checks.check_temperature(name, temperature)
        checks.check_reduction(name, reduction)
        check_impl(name, impl, *self.ops)
        self.temperature, self.reduction, self.impl = temperature, reduction, impl

    def settings(self) -> dict[str, Any]:
        """The op's keyword arguments."""
        return {"temperature": self.temperature, "reduction": self.reduction, "impl": self.impl}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
