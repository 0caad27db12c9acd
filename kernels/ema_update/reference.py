"""The exponential moving average in plain PyTorch, tensor by tensor: the specification of the op."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def ema_update_(targets: Sequence[Tensor], sources: Sequence[Tensor], momentum: float | Tensor) -> None:
    """Moves each floating-point target towards its source; copies the other sources."""
    for target, source in zip(targets, sources, strict=True):
        target.copy_(average(target, source, momentum) if target.is_floating_point() else source)


def average(target: Tensor, source: Tensor, momentum: float | Tensor) -> Tensor:
    """Computes k + (1 - m)(q - k), in fp32 or wider: exactly k for m = 1 and q for m = 0, even beside a NaN."""
    wide = torch.promote_types(torch.promote_types(target.dtype, source.dtype), torch.float32)
    k, q = target.to(wide), source.to(wide)
    if not isinstance(momentum, Tensor):
        momentum = torch.full((), momentum, dtype=torch.float64, device=k.device)  # no copy to wait for
    m = momentum.to(k.device, torch.float64)
    blend = k + (1 - m).to(wide) * (q - k)
    return torch.where(m == 1, k, torch.where(m == 0, q, blend))
