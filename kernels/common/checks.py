"""Checks of arguments that several ops take: each raises, in words that name the op, or does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor


def check_alike(op: str, first: str, **tensors: Tensor) -> None:
    """Raises ValueError unless the tensors share a floating dtype and a device with the one named `first`."""
    one = tensors.pop(first)
    dtype, device = one.dtype, one.device
    if not dtype.is_floating_point:
        raise ValueError(f"{op}: expected {first} of a floating-point dtype, got {dtype}")
    for name, tensor in tensors.items():
        if tensor.dtype != dtype:
            raise ValueError(f"{op}: expected {name} of dtype {dtype} to match {first}, got {tensor.dtype}")
        if tensor.device != device:
            raise ValueError(f"{op}: expected {name} on {device} to match {first}, got {tensor.device}")


def check_tensors(op: str, **arguments: Any) -> None:
    """Raises TypeError unless all arguments are tensors."""
    for name, argument in arguments.items():
        if not isinstance(argument, Tensor):
            raise TypeError(f"{op}: expected {name} to be a torch.Tensor, got {type(argument).__name__}")


def check_written(op: str, name: str, tensor: Tensor) -> None:
    """Raises ValueError for a tensor that cannot be written: expanded, so that elements share memory."""
    sizes_and_strides = zip(tensor.shape, tensor.stride(), strict=True)
    if tensor.numel() and any(size > 1 and stride == 0 for size, stride in sizes_and_strides):
        raise ValueError(
            f"{op}: expected {name}, which is written, to have memory for each element, got an expanded tensor of "
            f"shape {tuple(tensor.shape)} and strides {tensor.stride()}; pass a clone() of it"
        )


def check_temperature(op: str, temperature: float) -> None:
    """Raises ValueError unless the temperature is a positive number that fp32 can invert."""
    if type(temperature) is float and 1e-37 <= temperature <= 1e37:  # the usual case, without the ABC's check
        return
    if isinstance(temperature, Tensor):
        raise ValueError(
            f"{op}: expected a temperature that is a Python number, got a tensor; to learn it, divide the first "
            "argument by it and pass temperature=1"
        )
    if not isinstance(temperature, Real) or not 0 < temperature < float("inf"):
        raise ValueError(f"{op}: expected a temperature > 0, got {temperature!r}")
    if not 1e-37 <= temperature <= 1e37:
        raise ValueError(f"{op}: expected a temperature from 1e-37 to 1e37, got {temperature!r}")


def check_number(op: str, name: str, number: Tensor, **beside: Sequence[Tensor]) -> None:
    """Raises ValueError unless the number is a 0-d fp32 or fp64 tensor, on the CPU or with the other tensors."""
    if number.ndim != 0 or number.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{op}: expected a {name} tensor of shape (), float32 or float64, got {tuple(number.shape)}, "
            f"{number.dtype}"
        )
    for others, tensors in beside.items():
        if tensors and number.device.type != "cpu" and number.device != tensors[0].device:
            raise ValueError(
                f"{op}: expected the {name} tensor on {tensors[0].device} to match {others}, or on the CPU, "
                f"got {number.device}"
            )


def is_not_negative(number: float) -> bool:
    """Tells whether something is a finite number of at least 0."""
    return isinstance(number, Real) and 0 <= number < float("inf")


def check_whole_number(op: str, name: str, number: int, least: int) -> None:
    """Raises ValueError unless the number is a whole one of at least `least`."""
    if not isinstance(number, Integral) or number < least:
        raise ValueError(f"{op}: expected {name} to be a whole number of at least {least}, got {number!r}")


def check_reduction(op: str, reduction: str) -> None:
    """Raises ValueError for an unknown reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: expected reduction to be 'mean', 'sum' or 'none', got {reduction!r}")
