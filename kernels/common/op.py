"""Registers the ops with torch, and chooses among their implementations.

An op is one `Op` object. Each of its compiled implementations is an overload of one torch operator,
`torch.ops.sslfast.<op>.<impl>`, all of one schema: `cpp` and `cuda` are registered by the extension modules
built from `csrc/`, `triton` and `triton_tma` from Python. `reference` is plain PyTorch and is no operator.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.autograd import forward_ad

Impl = Literal["auto", "reference", "cpp", "triton", "triton_tma", "cuda"]
TRITON = ("triton", "triton_tma")
# What "triton_tma" takes: GPUs that copy tiles by TMA, and whose matrix unit takes the rows of four warps at a
# time, by the major number of their compute capability; and dtypes that the matrix unit multiplies as they are.
TMA_GPUS = (9, 10)
TMA_DTYPES = (torch.float16, torch.bfloat16)

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
    """Returns None, or why Triton cannot be used and how to get it."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed; pip install triton"
    return None


def _tma_missing(device: str) -> str | None:
    """Returns None, or why "triton_tma" cannot run on a CUDA device, such as "cuda:0", and what to do."""
    wanted = " or ".join(f"{major}.x" for major in TMA_GPUS)
    if not torch.cuda.is_available():
        return f"it runs on GPUs of compute capability {wanted}, and torch sees no GPU"
    gpu = torch.cuda.get_device_properties(device)
    if gpu.major not in TMA_GPUS:
        return f"it runs on GPUs of compute capability {wanted}, not {gpu.major}.{gpu.minor}; use impl='triton'"
    return None


# Why an implementation cannot be used at all in this process; None: it can. Settled once, at import.
MISSING: dict[str, str | None] = {
    "reference": None,
    "cpp": _load_extension("_C_cpu", "install a C++ compiler"),
    **dict.fromkeys(TRITON, _triton_missing()),
    "cuda": _load_extension("_C_cuda", "install nvcc and a CUDA build of torch"),
}


class Op:
    """Registers an op with torch, and chooses among its implementations.

    Args:
        name: the op's public name.
        schema: the torch schema shared by all implementations, without the name: "(Tensor a) -> Tensor".
        impls: the compiled implementations that exist, out of "cpp", "triton", "triton_tma", "cuda", the one that
            `auto` prefers first.
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
        packet = getattr(torch.ops.sslfast, name)
        self._preferred = (*(impl for impl in self.impls if impl not in self.explicit), "reference")
        self._operators = {impl: getattr(packet, impl) for impl in self.impls}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._chosen: dict[tuple[torch.device, torch.dtype | None], str] = {}  # by `auto`, compiled ones only
        if not internal:
            OPS[name] = self

    def fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates the function that gives the results' shapes and dtypes, for torch.compile."""
        for impl in self.impls:
            torch.library.register_fake(f"sslfast::{self.name}.{impl}", function, lib=LIBRARY)
        return function

    def triton(self, function: Callable[..., Any], impl: str = "triton") -> Callable[..., Any]:
        """Decorates a Triton implementation. On CPU tensors it runs in Triton's interpreter only."""
        for key in ("CPU", "CUDA"):
            LIBRARY.impl(f"{self.name}.{impl}", function, key)
        return function

    def autograd(self, setup_context: Callable[..., None], backward: Callable[..., Any]) -> None:
        """Registers the derivative, shared by all implementations. It has no derivative of its own.

        Both functions find the implementation's name in `ctx.impl`. torch gets the derivative for its transforms
        (torch.compile, torch.func); eager calls take an autograd.Function, which costs the host less.
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

        for impl, operator in self._operators.items():
            set_up_impl = functools.partial(set_up, impl)
            torch.library.register_autograd(
                f"sslfast::{self.name}.{impl}", first_order, setup_context=set_up_impl, lib=LIBRARY
            )
            self._functions[impl] = _function(self.name, impl, operator, setup_context, first_order)

    def why_not(self, impl: str, device: str, dtype: torch.dtype | None = None) -> str | None:
        """Returns None if `impl` can run on such tensors, else the reason why not, and what to do.

        Args:
            impl: the implementation.
            device: "cpu", "cuda", ..., or one of several, "cuda:1".
            dtype: None: any.
        """
        kind = device.partition(":")[0]
        if impl == "reference":
            return None
        if impl not in self.impls:
            return f"the op has no such implementation; choose from {('auto', *self.impls, 'reference')}"
        if impl == "cpp" and kind != "cpu":
            return f"it runs on CPU tensors, not on {kind}"
        if impl == "cuda" and kind != "cuda":
            return f"it runs on CUDA tensors, not on {kind}"
        if impl in TRITON and kind != "cuda" and not (INTERPRET and kind == "cpu"):
            return f"it runs on CUDA tensors, not on {kind}; TRITON_INTERPRET=1 interprets it on the CPU"
        dtypes = TMA_DTYPES if impl == "triton_tma" else self.dtypes
        if dtype is not None and dtype not in dtypes:
            return f"it has no kernel for {dtype}; use impl='reference' or one of {dtypes}"
        if impl == "triton_tma" and kind == "cuda" and (reason := _tma_missing(device)):
            return reason
        return MISSING[impl]

    def available(self, device: str, dtype: torch.dtype | None = None) -> list[str]:
        """Lists the implementations that can run on such tensors, the one that `auto` prefers first."""
        return [impl for impl in (*self._preferred, *self.explicit) if self.why_not(impl, device, dtype) is None]

    def choose(self, impl: Impl, device: torch.device, dtype: torch.dtype | None = None) -> str:
        """Chooses the implementation to run.

        Raises:
            ValueError: no implementation has that name.
            RuntimeError: an explicit one cannot be had.
        """
        if impl == "reference":
            return impl
        if impl == "auto":
            chosen = self._chosen.get((device, dtype))
            if chosen is None or MISSING[chosen] is not None:
                chosen = self._choose(device.type, dtype)
                if chosen != "reference":
                    self._chosen[device, dtype] = chosen
            return chosen
        if impl not in self._operators:
            check_impl(self.name, impl)
        if reason := self.why_not(impl, str(device), dtype):
            raise RuntimeError(f"{self.name}: impl={impl!r} is not available: {reason}")
        return impl

    def _choose(self, kind: str, dtype: torch.dtype | None) -> str:
        """Chooses for `auto` on a kind of device."""
        # The interpreter is for debugging: `auto` takes Triton on a CUDA device only.
        preferred = (impl for impl in self._preferred if impl != "triton" or kind == "cuda")
        return next(impl for impl in preferred if self.why_not(impl, kind, dtype) is None)

    def call(self, impl: str, *args: Any) -> Any:
        """Runs a compiled implementation.

        Raises:
            RuntimeError: in forward-mode differentiation, from which torch hides such operators (the derivative
                would come out as 0), and under a transform of torch.func that differentiates them.
        """
        if forward_ad._current_level >= 0 and any(
            forward_ad.unpack_dual(arg).tangent is not None for arg in args if isinstance(arg, Tensor)
        ):
            raise RuntimeError(f"{self.name}: has no forward-mode derivative; use impl='reference'")
        if torch.compiler.is_compiling():
            return self._operators[impl](*args)
        if not self._functions:
            return self._operators[impl]._op(*args)  # what it calls: a call in Python less, of ema_update_'s few
        if not torch._C._are_functorch_transforms_active():
            return self._functions[impl](*args)
        if _differentiated_by_functorch(args):
            raise RuntimeError(
                f"{self.name}: torch.func's transforms cannot differentiate impl={impl!r}; use impl='reference'"
            )
        return self._operators[impl](*args)


def _function(
    name: str,
    impl: str,
    operator: Callable[..., Any],
    setup_context: Callable[..., None],
    backward: Callable[..., Any],
) -> Callable[..., Any]:
    """Makes the `apply` of an operator's autograd.Function; the caller sees to it that no transform follows."""

    def forward(ctx: Any, *args: Any) -> Any:
        ctx.impl = impl
        ctx.set_materialize_grads(False)  # of results that have no derivative: zeros that nobody reads
        with torch._C._AutoDispatchBelowAutograd():
            output = operator(*args)
        setup_context(ctx, args, output)
        return output

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    function: type[torch.autograd.Function] = type(name, (torch.autograd.Function,), methods)
    # Past Function.apply, which looks for transforms of torch.func and for their tensors.
    apply: Callable[..., Any] = super(torch.autograd.Function, function).apply  # type: ignore[misc]  # of C
    return apply


def check_impl(caller: str, impl: str, *ops: Op, over_group: bool = False) -> None:
    """Raises ValueError for a name that no implementation has, or that one of the ops lacks.

    Over a group of processes ops have their reference only.
    """
    known = (
        ["reference"] if over_group else [i for i in MISSING if all(i in ("reference", *op.impls) for op in ops)]
    )
    if impl != "auto" and impl not in known:
        group = " over a group of processes" if over_group else ""
        raise ValueError(f"{caller}: expected impl to be one of {('auto', *known)}{group}, got {impl!r}")


def _differentiated_by_functorch(args: tuple[Any, ...]) -> bool:
    """Tells whether a transform of torch.func (grad, vjp, jacrev, ...) follows one of the tensors."""
    for arg in args:
        while isinstance(arg, Tensor) and functorch.is_functorch_wrapped_tensor(arg):
            if functorch.is_gradtrackingtensor(arg) and arg.requires_grad:
                return True
            arg = functorch.get_unwrapped(arg)
    return False


@overload
def available_impls(op: str, device: str | torch.device | None = ...) -> list[str]: ...
@overload
def available_impls(op: None = ..., device: str | torch.device | None = ...) -> dict[str, list[str]]: ...
def available_impls(
    op: str | None = None, device: str | torch.device | None = None
) -> list[str] | dict[str, list[str]]:
    """Lists the implementations that can run on a device, the one that `auto` prefers first.

    Args:
        op: an op's name, such as "info_nce"; None: every op.
        device: where the tensors are; None: "cuda" if there is such a device, else "cpu".

    Returns:
        A list for one op; for every op, a dictionary of such lists by the ops' names.

    Raises:
        ValueError: no op has that name.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if op is None:
        return {name: OPS[name].available(torch.device(device).type) for name in sorted(OPS)}
    if op not in OPS:
        close = difflib.get_close_matches(str(op), OPS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "available_impls() lists those of every op"
        raise ValueError(f"available_impls: no op {op!r}; {hint}")
    return OPS[op].available(torch.device(device).type)
