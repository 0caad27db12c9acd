"""The exponential moving average by PyTorch's multi-tensor kernels, for `auto` where it takes none of ours."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.kernels.ema_update import reference


@torch.no_grad()
def ema_update_(targets: Sequence[Tensor], sources: Sequence[Tensor], momentum: float | Tensor) -> None:
    """Does what the reference does, in a few launches for all pairs of the same dtypes.

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
    """Computes the averages of pairs of two dtypes, each with its target's shape and strides."""
    orders = [_order(target) for target in targets]
    k, q = (
        torch.cat([x.permute(order).reshape(-1) for x, order in zip(tensors, orders, strict=True)])
        for tensors in (targets, sources)
    )
    pieces = reference.average(k, q, momentum).split([target.numel() for target in targets])
    return [
        piece.view([target.shape[dim] for dim in order]).permute([order.index(dim) for dim in range(target.ndim)])
        for piece, target, order in zip(pieces, targets, orders, strict=True)
    ]


def _order(tensor: Tensor) -> list[int]:
    """Sorts a tensor's dimensions as they lie in memory: in this order channels_last weights need no copy each.

    Dimensions of size 1 come after others of their stride: then a tensor laid out so has the very strides of this
    one, without which multi-tensor kernels copy tensor by tensor.
    """
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda dim: (-strides[dim], tensor.shape[dim] == 1))
