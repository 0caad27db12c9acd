"""Autocast for ops that torch does not know to cast for."""

import functools

import torch
from torch import Tensor


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Casts tensors under autocast as for a matmul, fp64 and integers aside; elsewhere they stay as they are."""
    if not _is_on(tensors[0]):
        return tensors
    dtype = torch.get_autocast_dtype(tensors[0].device.type)
    return tuple(
        tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor
        for tensor in tensors
    )


def widest(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Promotes tensors of different floating dtypes under autocast to one, that rounds none of them."""
    if not _is_on(tensors[0]):
        return tensors
    if not all(tensor.is_floating_point() for tensor in tensors):
        return tensors
    dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    return tuple(tensor.to(dtype) for tensor in tensors)


def _is_on(tensor: Tensor) -> bool:
    """Tells whether autocast is enabled for the tensor's device."""
    if not torch._C._is_any_autocast_enabled():  # the usual case, told without a look at the device
        return False
    device = tensor.device.type
    return device != "meta" and torch.is_autocast_enabled(device)
