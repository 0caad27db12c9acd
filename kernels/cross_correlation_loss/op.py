"""The cross-correlation loss of Barlow Twins, by whichever of two products is the smaller."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.autocast import widest
from sslfast.kernels.common.op import MISSING, Impl, Op
from sslfast.kernels.cross_correlation_loss import reference

OP = Op(
    "cross_correlation_loss",
    "(Tensor z1, Tensor z2, float lambd, bool need_dz1, bool need_dz2) -> (Tensor loss, Tensor dz1, Tensor dz2)",
    impls=("cpp", "triton"),
)


def cross_correlation_loss(
    z1: Tensor, z2: Tensor, *, lambd: float, group: dist.ProcessGroup | None = None, impl: Impl = "auto"
) -> Tensor:
    """Computes the loss of Barlow Twins, which draws two views' cross-correlation matrix towards the identity.

    The loss is Zbontar et al.'s (2021, arXiv:2103.03230, equation 1), as PyTorch:

        z1, z2 = (F.batch_norm(z, None, None, training=True, eps=1e-5) for z in (z1, z2))
        c = z1.T @ z2 / N                                                  # (D, D)
        on_diagonal = c.diagonal()
        loss = (1 - on_diagonal).square().sum()
        loss += lambd * (c.square().sum() - on_diagonal.square().sum())

    The sum of all squares of c is also the product of two (N, N) matrices, tr(z1 z1^T z2 z2^T) / N^2: the compiled
    implementations take c where N >= D and these otherwise, so that no matrix is larger than the inputs, and with
    N < D there is less to multiply. One pass gives the loss and its gradients; the backward pass only scales them.

    Args:
        z1: (N, D), fp32, fp16, bf16, or fp64 (reference only): one view's embeddings, not normalized. Autocast
            rounds nothing: embeddings far from 0 would lose their variance before they are standardized.
        z2: (N, D), the other view's; same dtype as z1. Either receives a gradient if it asks.
        lambd: weight of the off-diagonal part; the paper has 0.0051.
        group: processes over which the batch is spread: means, variances and c are of all their rows, of which
            ranks may have different numbers. Each rank returns the whole batch's loss; the gradient is that of
            the sum of the ranks' losses, of which DistributedDataParallel takes the mean. The reference runs.
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Returns:
        The loss in fp32 (fp64 for fp64 inputs), a scalar.

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit; a lambd below 0.
        RuntimeError: an explicit `impl` that is not available; a derivative of the gradient, except from
            the reference.
    """
    checks.check_tensors(OP.name, z1=z1, z2=z2)
    z1, z2 = widest(z1, z2)
    _check_views(z1, z2)
    check_lambd(OP.name, lambd)
    if group is not None:
        if impl not in ("auto", "reference"):
            raise RuntimeError(
                f"{OP.name}: impl={impl!r} is not available: it works on one process; leave group out"
            )
        return reference.cross_correlation_loss(z1, z2, lambd, group)
    need_dz1, need_dz2 = (torch.is_grad_enabled() and z.requires_grad for z in (z1, z2))
    if impl == "auto" and z1.device.type == "cpu" and len(z1) >= z1.shape[1] and not (need_dz1 or need_dz2):
        impl = "reference"  # c alone: PyTorch multiplies in one piece, 10 % faster than by blocks
    chosen = OP.choose(impl, z1.device, z1.dtype)
    if chosen == "reference":
        return reference.cross_correlation_loss(z1, z2, lambd)
    loss, _, _ = OP.call(chosen, z1, z2, lambd, need_dz1, need_dz2)
    return loss


def _check_views(z1: Tensor, z2: Tensor) -> None:
    if z1.ndim != 2 or 0 in z1.shape:
        raise ValueError(f"{OP.name}: expected z1 of shape (N > 0, D > 0), got {tuple(z1.shape)}")
    if z2.shape != z1.shape:
        raise ValueError(f"{OP.name}: expected z2 of shape {tuple(z1.shape)} to match z1, got {tuple(z2.shape)}")
    checks.check_alike(OP.name, "z1", z1=z1, z2=z2)


def check_lambd(op: str, lambd: float, name: str = "lambd") -> None:
    """Raises ValueError unless the off-diagonal part's weight is at least 0. `name`: the caller's word for it."""
    if not checks.is_not_negative(lambd):
        raise ValueError(f"{op}: expected a {name} >= 0, got {lambd!r}")


@OP.fake
def _(z1: Tensor, z2: Tensor, lambd: float, need_dz1: bool, need_dz2: bool) -> tuple[Tensor, Tensor, Tensor]:
    n, d = z1.shape
    dz1, dz2 = (z1.new_empty((n if need else 0, d), dtype=torch.float32) for need in (need_dz1, need_dz2))
    return z1.new_empty((), dtype=torch.float32), dz1, dz2


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, dz1, dz2 = output
    ctx.mark_non_differentiable(dz1, dz2)
    ctx.save_for_backward(dz1, dz2)
    ctx.dtype = inputs[0].dtype


def _backward(ctx: Any, d_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    gradients = (
        (d_loss * dz).to(ctx.dtype) if needed else None
        for dz, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[:2], strict=True)
    )
    return *gradients, None, None, None


OP.autograd(_setup_context, _backward)

if MISSING["triton"] is None:
    from sslfast.kernels.cross_correlation_loss import triton_kernels

    OP.triton(triton_kernels.cross_correlation_loss)
