"""Autocast for ops that torch does not know to cast for."""

import functools

import torch
from torch import Tensor


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Casts tensors under autocast as for a matmul, fp64 and integers aside; elsewhere they stay as they are."""
    device = tensors[0].device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(
        tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor
        for tensor in tensors
    )


def widest(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Promotes tensors of different floating dtypes under autocast to one, that rounds none of them."""
    device = tensors[0].device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return tensors
    if not all(tensor.is_floating_point() for tensor in tensors):
        return tensors
    dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    return tuple(tensor.to(dtype) for tensor in tensors)
