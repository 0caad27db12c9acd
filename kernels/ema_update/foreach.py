"""The exponential moving average by PyTorch's multi-tensor kernels: `auto` where it takes no kernel of ours."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.kernels.ema_update import reference


@torch.no_grad()
def ema_update_(targets: Sequence[Tensor], sources: Sequence[Tensor], momentum: float | Tensor) -> None:
    """As the reference, in a few launches for all pairs of the same dtypes.

    A lerp by 0 or 1 is not exact where the other operand holds NaN, and a momentum that is a tensor may be either:
    then, as for mixed dtypes, the reference works on copies of all tensors, laid end to end.
    """
    groups: dict[tuple[torch.dtype, torch.dtype], tuple[list[Tensor], list[Tensor]]] = {}
    for target, source in zip(targets, sources, strict=True):
        ks, qs = groups.setdefault((target.dtype, source.dtype), ([], []))
        ks.append(target)
        qs.append(source)
    for (dtype, source_dtype), (ks, qs) in groups.items():
        if not dtype.is_floating_point or (not isinstance(momentum, Tensor) and momentum == 0):
            torch._foreach_copy_(ks, qs)
        elif isinstance(momentum, Tensor) or dtype != source_dtype:
            torch._foreach_copy_(ks, _averages(ks, qs, momentum))
        elif momentum < 1:
            torch._foreach_lerp_(ks, qs, 1 - momentum)


def _averages(targets: list[Tensor], sources: list[Tensor], momentum: float | Tensor) -> list[Tensor]:
    k, q = (torch.cat([tensor.reshape(-1) for tensor in tensors]) for tensors in (targets, sources))
    pieces = reference.average(k, q, momentum).split([target.numel() for target in targets])
    return [piece.view(target.shape) for piece, target in zip(pieces, targets, strict=True)]
