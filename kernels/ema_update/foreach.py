"""The exponential moving average by PyTorch's multi-tensor kernels: `auto` where no kernel of ours was built."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.kernels.ema_update import reference


@torch.no_grad()
def ema_update_(targets: Sequence[Tensor], sources: Sequence[Tensor], momentum: float | Tensor) -> None:
    """As the reference, whose loop it leaves what PyTorch's kernels do not take or would not do exactly."""
    if isinstance(momentum, Tensor) or momentum in (0, 1):
        reference.ema_update_(targets, sources, momentum)
        return
    pairs = list(zip(targets, sources, strict=True))
    alike = [k.is_floating_point() and k.dtype == q.dtype for k, q in pairs]
    if any(alike):
        ks, qs = zip(*(pair for pair, ok in zip(pairs, alike, strict=True) if ok), strict=True)
        torch._foreach_lerp_(ks, qs, 1 - momentum)
    for (k, q), ok in zip(pairs, alike, strict=True):
        if not ok:
            reference.ema_update_([k], [q], momentum)
