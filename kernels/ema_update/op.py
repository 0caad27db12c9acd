"""Computes the exponential moving average of a network's weights, of all tensors in one launch."""

from collections.abc import Iterable
from numbers import Real

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.op import LIBRARY, MISSING, Impl, Op
from sslfast.kernels.ema_update import foreach, reference

OP = Op(
    "ema_update_",
    "(Tensor(a!)[] targets, Tensor[] sources, float momentum, Tensor? momentum_tensor) -> ()",
    impls=("cpp", "cuda"),
    dtypes=(torch.float32, torch.float16, torch.bfloat16, torch.float64),
    explicit=("cuda",),  # until a run of its tests on a GPU is recorded; `auto` then takes it
)
for compiled in OP.impls:  # no derivative: the update belongs to no graph, whatever its tensors require
    LIBRARY.impl(f"{OP.name}.{compiled}", torch.library.fallthrough_kernel, "Autograd")


def ema_update_(
    targets: Iterable[Tensor],
    sources: Iterable[Tensor],
    momentum: float | Tensor,
    *,
    impl: Impl = "auto",
) -> None:
    """Moves targets towards sources, in place: the momentum encoder of MoCo, BYOL, mean teachers.

    The rule is He et al.'s (2020, equation 2), theta_k <- m theta_k + (1 - m) theta_q, as PyTorch:

        for k, q in zip(targets, sources):
            k.copy_(k + (1 - momentum) * (q - k) if k.is_floating_point() else q)

    This form of the equation rounds once at k's scale and leaves k as it is where q equals it. It is computed
    in fp32, or in fp64 if target or source is fp64, and rounded to the target's dtype. m = 1 leaves
    floating-point targets as they are and m = 0 copies sources, bit for bit, even where the other holds NaN.
    Integer and boolean tensors (a BatchNorm's `num_batches_tracked`) are copied whatever m is.

    "cpp" is one parallel region on the CPU. "cuda" is one launch on the GPU (of up to 1024 pairs), with neither
    a host read nor a table to keep: a CUDA graph replays it, with a new momentum if that is a tensor on the GPU.
    Tensors may be strided; those whose memory formats differ from their partner's, or that do not fill their
    memory, are copied on the way. "auto" takes "cpp" on the CPU; on the GPU, and where nothing was compiled,
    PyTorch's multi-tensor kernels.

    Targets must not overlap one another, and a source may overlap a target only by being the same tensor:
    with others the result is undefined. There is no derivative.

    Args:
        targets: tensors of any shapes, none expanded, all on one device; fp32, fp16, bf16, fp64, integers or
            bool.
        sources: as many; each of its target's shape and device. A floating-point source may differ from its
            target in dtype, others may not.
        momentum: m in [0, 1]; or a 0-d fp32 or fp64 tensor, on the CPU or with the targets, whose value is
            not checked.
        impl: "auto", "reference", "cpp" (CPU) or "cuda".

    Raises:
        TypeError: targets or sources that are no tensors.
        ValueError: lists, shapes, strides, dtypes or devices that do not fit; a momentum out of range.
        RuntimeError: an explicit `impl` that is not available.
    """
    ks = targets if type(targets) is list else _listed("targets", targets)
    qs = sources if type(sources) is list else _listed("sources", sources)
    if len(ks) != len(qs):
        raise ValueError(f"ema_update_: expected {len(ks)} sources to match targets, got {len(qs)}")
    number, tensor = momentum, None
    if type(momentum) is not float or not 0 <= momentum <= 1:  # the usual case has no more to check
        _check_momentum(momentum, ks)
        number, tensor = (1.0, momentum) if isinstance(momentum, Tensor) else (momentum, None)
    if not ks:
        return
    if not isinstance(ks[0], Tensor):
        _check_pairs(ks, qs)
    usual = impl == "auto" and ks[0].is_cpu and MISSING["cpp"] is None  # told at once
    chosen = "cpp" if usual else OP.choose(impl, ks[0].device)
    if chosen == "reference":
        _check_pairs(ks, qs)
        update = foreach.ema_update_ if impl == "auto" else reference.ema_update_
        update(ks, qs, momentum)
        return
    try:
        OP.call(chosen, ks, qs, number, tensor)
    except RuntimeError:
        _check_pairs(ks, qs)  # the kernel checks too, faster than Python could, but without words
        raise
    if not torch.compiler.is_compiling():
        torch._C._increment_version(ks)  # torch.autograd.graph's, of a list, without its call in Python


def _listed(name: str, tensors: Iterable[Tensor]) -> list[Tensor]:
    """Lists the tensors. Raises TypeError for a module, which has parameters and buffers."""
    if isinstance(tensors, torch.nn.Module):
        raise TypeError(
            f"ema_update_: expected {name} to be tensors, got the module {type(tensors).__name__}; pass its "
            ".parameters(), and its .buffers() in a second call"
        )
    return list(tensors)


def _check_momentum(momentum: float | Tensor, targets: list[Tensor]) -> None:
    if not isinstance(momentum, Tensor):
        if not isinstance(momentum, (float, Real)) or not 0 <= momentum <= 1:
            raise ValueError(f"ema_update_: expected a momentum in [0, 1] or a 0-d tensor, got {momentum!r}")
        return
    checks.check_number("ema_update_", "momentum", momentum, targets=targets)


def _check_pairs(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Raises TypeError for an item that is no tensor, and ValueError for a pair whose tensors do not fit."""
    for name, tensors in (("targets", targets), ("sources", sources)):
        checks.check_tensors("ema_update_", **{f"{name}[{i}]": tensor for i, tensor in enumerate(tensors)})
    device = targets[0].device
    for i, (target, source) in enumerate(zip(targets, sources, strict=True)):
        for name, tensor in (("targets", target), ("sources", source)):
            if tensor.device != device:
                raise ValueError(
                    f"ema_update_: expected {name}[{i}] on {device} to match targets[0], got {tensor.device}"
                )
            if (tensor.is_floating_point() and tensor.dtype not in OP.dtypes) or tensor.is_complex():
                raise ValueError(
                    f"ema_update_: expected {name}[{i}] to be {', '.join(map(str, OP.dtypes))}, an integer "
                    f"type or bool, got {tensor.dtype}"
                )
        checks.check_written("ema_update_", f"targets[{i}]", target)
        if source.shape != target.shape:
            raise ValueError(
                f"ema_update_: expected sources[{i}] of shape {tuple(target.shape)} to match targets[{i}], "
                f"got {tuple(source.shape)}"
            )
        averaged = target.is_floating_point() and source.is_floating_point()
        if source.dtype != target.dtype and not averaged:
            raise ValueError(
                f"ema_update_: expected sources[{i}] of dtype {target.dtype} to match targets[{i}], "
                f"got {source.dtype}"
            )


@OP.fake
def _(targets: list[Tensor], sources: list[Tensor], momentum: float, momentum_tensor: Tensor | None) -> None:
    _check_pairs(targets, sources)
