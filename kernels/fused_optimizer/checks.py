"""Checks of the arguments of the optimizers' steps."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sslfast.kernels.common import checks

NARROW = (torch.float32, torch.float16, torch.bfloat16)
OF_ANY_PRECISION = ("grads", "targets", "shadows")  # as long as it is one of NARROW, or the parameter's


def check_numbers(
    op: str,
    lists: Mapping[str, Sequence[Tensor]],
    optional: Sequence[str],
    lr: float | Tensor,
    ema_momentum: float | Tensor,
    found_inf: Tensor | None,
) -> None:
    """Raises ValueError for lists of other lengths than the parameters', and for numbers out of range."""
    params = lists["params"]
    for name, tensors in lists.items():
        if len(tensors) != len(params) and not (name in optional and not tensors):
            raise ValueError(f"{op}: expected {len(params)} {name} to match params, got {len(tensors)}")
    for name, number, highest in (("lr", lr, float("inf")), ("ema_momentum", ema_momentum, 1.0)):
        if isinstance(number, Tensor):
            checks.check_number(op, name, number, params=params)
        elif not isinstance(number, (int, float)) or not 0 <= number <= highest:
            raise ValueError(f"{op}: expected {name} in [0, {highest:g}] or a 0-d tensor, got {number!r}")
    if found_inf is None or not params:
        return
    if found_inf.ndim != 0 or found_inf.dtype != torch.float32 or found_inf.device != params[0].device:
        raise ValueError(
            f"{op}: expected found_inf of shape (), float32, on {params[0].device}, got "
            f"{tuple(found_inf.shape)}, {found_inf.dtype}, on {found_inf.device}"
        )


def check_tensors(op: str, lists: Mapping[str, Sequence[Tensor]]) -> None:
    """Raises ValueError unless all tensors fit their parameters, and these each other."""
    params = lists["params"]
    dtype, device = params[0].dtype, params[0].device
    for name, tensors in lists.items():
        for i, (tensor, param) in enumerate(zip(tensors, params, strict=False)):  # some lists may be empty
            what = f"{op}: expected {name}[{i}]"
            shape = torch.Size() if name == "steps" else param.shape
            if tensor.shape != shape:
                raise ValueError(f"{what} of shape {tuple(shape)}, got {tuple(tensor.shape)}")
            if tensor.layout != torch.strided:
                raise ValueError(f"{what} to be dense, got {tensor.layout}")
            if name != "grads":
                checks.check_written(op, f"{name}[{i}]", tensor)
            if tensor.device != device:
                raise ValueError(f"{what} on {device} to match params[0], got {tensor.device}")
            if not tensor.is_floating_point():
                raise ValueError(f"{what} of a floating-point dtype, got {tensor.dtype}")
            if name in OF_ANY_PRECISION:
                allowed: tuple[torch.dtype, ...] = (*NARROW, dtype)
            else:
                allowed = (torch.float32,) if name == "steps" else (dtype,)
            if tensor.dtype not in allowed:
                expected = ", ".join(str(each) for each in dict.fromkeys(allowed))
                raise ValueError(f"{what} of dtype {expected}, got {tensor.dtype}")
