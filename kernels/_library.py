"""The spine of the ops: registration with torch, choice of an implementation, argument checks.

An op is one `Op` object. Each of its compiled implementations is an overload of one torch operator,
`torch.ops.sslfast.<op>.<impl>`, all of one schema: `cpp` and `cuda` are registered by the extension modules
built from `csrc/`, `triton` from Python. `reference` is plain PyTorch and is no operator.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

Impl = Literal["auto", "reference", "cpp", "triton", "cuda"]
Reduction = Literal["mean", "sum", "none"]

LIBRARY = torch.library.Library("sslfast", "DEF")
OPS: dict[str, Op] = {}
INTERPRET = os.environ.get("TRITON_INTERPRET", "0") == "1"


def _load_extension(name: str, how: str) -> str | None:
    """Loads `sslfast.<name>`; returns None, or why it could not be loaded and how to get it."""
    spec = importlib.util.find_spec(f"sslfast.{name}")
    if spec is None or spec.origin is None:
        return f"sslfast.{name} was not built; {how}, then reinstall sslfast"
    try:
        torch.ops.load_library(spec.origin)
    except OSError as error:
        return f"{spec.origin} cannot be loaded ({error}); reinstall sslfast"
    return None


def _triton_missing() -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed; pip install triton"
    return None


# Why an implementation cannot be used at all in this process; None: it can. Settled once, at import.
MISSING: dict[str, str | None] = {
    "reference": None,
    "cpp": _load_extension("_C_cpu", "install a C++ compiler"),
    "triton": _triton_missing(),
    "cuda": _load_extension("_C_cuda", "install nvcc and a CUDA build of torch"),
}


class Op:
    """One op and its implementations.

    Args:
        name: the op's public name.
        schema: the torch schema shared by all implementations, without the name: "(Tensor a) -> Tensor".
        impls: the compiled implementations that exist, out of "cpp", "triton", "cuda", the one that `auto`
            prefers first.
        explicit: those of them that `auto` passes over: they run where they are asked for by name.
        dtypes: what the compiled implementations take; the reference takes every floating-point type.
        internal: for other ops' use only, as a backward pass is: not listed in OPS.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        impls: Sequence[str],
        dtypes: Sequence[torch.dtype] = (torch.float32, torch.float16, torch.bfloat16),
        explicit: Sequence[str] = (),
        internal: bool = False,
    ) -> None:
        self.name, self.impls, self.dtypes, self.explicit = name, tuple(impls), tuple(dtypes), tuple(explicit)
        for impl in self.impls:
            LIBRARY.define(f"{name}.{impl}{schema}")
        if not internal:
            OPS[name] = self

    def fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: shapes and dtypes of the results, for torch.compile."""
        for impl in self.impls:
            torch.library.register_fake(f"sslfast::{self.name}.{impl}", function, lib=LIBRARY)
        return function

    def triton(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the Triton implementation. On CPU tensors it runs in Triton's interpreter only."""
        for key in ("CPU", "CUDA"):
            LIBRARY.impl(f"{self.name}.triton", function, key)
        return function

    def autograd(self, setup_context: Callable[..., None], backward: Callable[..., Any]) -> None:
        """Registers the derivative, shared by all implementations. It has no derivative of its own.

        Both functions find the implementation's name in `ctx.impl`.
        """

        def first_order(ctx: Any, *grads: Tensor) -> Any:
            if torch.is_grad_enabled():
                raise RuntimeError(
                    f"{self.name}: its gradient cannot be differentiated again; call backward without "
                    "create_graph=True, or use impl='reference'"
                )
            return backward(ctx, *grads)

        def set_up(impl: str, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            ctx.impl = impl
            setup_context(ctx, inputs, output)

        for impl in self.impls:
            torch.library.register_autograd(
                f"sslfast::{self.name}.{impl}",
                first_order,
                setup_context=functools.partial(set_up, impl),
                lib=LIBRARY,
            )

    def why_not(self, impl: str, device: str, dtype: torch.dtype | None = None) -> str | None:
        """None if `impl` can run on such tensors, else why not, and what to do."""
        if impl == "reference":
            return None
        if impl not in self.impls:
            return f"the op has no such implementation; choose from {('auto', *self.impls, 'reference')}"
        if impl == "cpp" and device != "cpu":
            return f"it runs on CPU tensors, not on {device}"
        if impl == "cuda" and device != "cuda":
            return f"it runs on CUDA tensors, not on {device}"
        if impl == "triton" and device != "cuda" and not (INTERPRET and device == "cpu"):
            return f"it runs on CUDA tensors, not on {device}; TRITON_INTERPRET=1 interprets it on the CPU"
        if dtype is not None and dtype not in self.dtypes:
            return f"it has no kernel for {dtype}; use impl='reference' or one of {self.dtypes}"
        return MISSING[impl]

    def available(self, device: str, dtype: torch.dtype | None = None) -> list[str]:
        """Implementations that can run on such tensors, what `auto` prefers first."""
        preferred = [impl for impl in self.impls if impl not in self.explicit]
        ordered = (*preferred, "reference", *self.explicit)
        return [impl for impl in ordered if self.why_not(impl, device, dtype) is None]

    def choose(self, impl: Impl, device: torch.device, dtype: torch.dtype | None = None) -> str:
        """The implementation to run. Raises RuntimeError if an explicit one cannot be had."""
        if impl == "auto":
            for choice in self.available(device.type, dtype):
                # The interpreter is for debugging: `auto` takes Triton on a CUDA device only.
                if choice != "triton" or device.type == "cuda":
                    return choice
        if impl not in MISSING:
            raise ValueError(f"{self.name}: expected impl to be one of {('auto', *MISSING)}, got {impl!r}")
        if reason := self.why_not(impl, device.type, dtype):
            raise RuntimeError(f"{self.name}: impl={impl!r} is not available: {reason}")
        return impl

    def call(self, impl: str, *args: Any) -> Any:
        """Runs a compiled implementation.

        Raises:
            RuntimeError: in forward-mode differentiation, from which torch hides such operators: the derivative
                would come out as 0.
        """
        if forward_ad._current_level >= 0 and any(
            forward_ad.unpack_dual(arg).tangent is not None for arg in args if isinstance(arg, Tensor)
        ):
            raise RuntimeError(f"{self.name}: has no forward-mode derivative; use impl='reference'")
        return getattr(getattr(torch.ops.sslfast, self.name), impl)(*args)


def available_impls(op: str, device: str | torch.device) -> list[str]:
    """Implementations of an op that can run on a device, the one that `auto` prefers first.

    Raises:
        ValueError: no op has that name.
    """
    if op not in OPS:
        raise ValueError(f"available_impls: expected an op out of {sorted(OPS)}, got {op!r}")
    return OPS[op].available(torch.device(device).type)


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Under autocast, the tensors in autocast's dtype, as for a matmul; else as they are."""
    device = tensors[0].device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(
        tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor
        for tensor in tensors
    )


def check_alike(op: str, first: str, **tensors: Tensor) -> None:
    """Raises ValueError unless the tensors share a floating dtype and a device with the one named `first`."""
    dtype, device = tensors[first].dtype, tensors[first].device
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
    if isinstance(temperature, Tensor):
        raise ValueError(
            f"{op}: expected a temperature that is a Python number, got a tensor; to learn it, divide the first "
            "argument by it and pass temperature=1"
        )
    if not isinstance(temperature, (int, float)) or not 0 < temperature < float("inf"):
        raise ValueError(f"{op}: expected a temperature > 0, got {temperature!r}")
    if not 1e-37 <= temperature <= 1e37:
        raise ValueError(f"{op}: expected a temperature from 1e-37 to 1e37, got {temperature!r}")


def check_number(op: str, name: str, number: Tensor, **beside: Sequence[Tensor]) -> None:
    """Raises ValueError unless `number` is a 0-d fp32 or fp64 tensor on the CPU or with a list of tensors."""
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


def check_reduction(op: str, reduction: Reduction) -> None:
    """Raises ValueError for an unknown reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: expected reduction to be 'mean', 'sum' or 'none', got {reduction!r}")


def rank(logits: Tensor, target: Tensor, need_rank: bool) -> Tensor:
    """For the references: how many logits of each row are greater than its target's, (N,), or (0,)."""
    if not need_rank:
        return target.new_empty(0)
    logits = logits.detach()
    return (logits > logits.gather(1, target[:, None])).sum(dim=1)


def reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    """Applies "mean", "sum" or "none" to per-sample losses."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
