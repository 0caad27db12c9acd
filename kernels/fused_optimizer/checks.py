"""Checks of the arguments of the optimizers' steps."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from sslfast.kernels.common import checks

NARROW = (torch.float32, torch.float16, torch.bfloat16)
FLAGS = ("nesterov", "adapt")
OF_ANY_PRECISION = ("grads", "targets", "shadows")  # as long as it is one of NARROW, or the parameter's


def check_options(op: str, options: Mapping[str, Any]) -> None:
    """Raises ValueError for an option of a step that is out of the range that torch's optimizers give it.

    Infinity is out of every range. The value of a tensor is not read.
    """
    for name, option in options.items():
        if name == "betas":
            pair = isinstance(option, Sequence) and len(option) == 2
            if not pair or not all(checks.is_not_negative(beta) and beta < 1 for beta in option):
                raise ValueError(f"{op}: expected betas to be two numbers in [0, 1), got {option!r}")
        elif name in FLAGS:
            if option not in (False, True):
                raise ValueError(f"{op}: expected {name} to be True or False, got {option!r}")
        elif not (name == "lr" and isinstance(option, Tensor)) and not checks.is_not_negative(option):
            tensor = ", or a 0-d tensor" if name == "lr" else ""
            raise ValueError(f"{op}: expected {name} to be a finite number >= 0{tensor}, got {option!r}")
    if options.get("nesterov") and not options["momentum"]:
        raise ValueError(f"{op}: expected momentum > 0 with nesterov=True, got {options['momentum']!r}")


def check_numbers(
    op: str,
    lists: Mapping[str, Sequence[Tensor]],
    optional: Sequence[str],
    lr: float | Tensor,
    ema_momentum: float | Tensor,
    found_inf: Tensor | None,
) -> None:
    """Raises ValueError for lists of other lengths than the parameters', and for numbers that do not fit them."""
    params = lists["params"]
    for name, tensors in lists.items():
        if len(tensors) != len(params) and not (name in optional and not tensors):
            raise ValueError(f"{op}: expected {len(params)} {name} to match params, got {len(tensors)}")
    for name, number in (("lr", lr), ("ema_momentum", ema_momentum)):
        if isinstance(number, Tensor):
            checks.check_number(op, name, number, params=params)
    if not isinstance(ema_momentum, Tensor) and not (isinstance(ema_momentum, Real) and 0 <= ema_momentum <= 1):
        raise ValueError(f"{op}: expected ema_momentum in [0, 1] or a 0-d tensor, got {ema_momentum!r}")
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
