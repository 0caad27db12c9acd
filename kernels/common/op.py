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
