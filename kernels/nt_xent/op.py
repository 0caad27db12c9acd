"""NT-Xent, SimCLR's loss, without the 2N x 2N matrix of logits."""

from typing import Any, Literal, overload

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.autocast import autocast
from sslfast.kernels.common.debug import check_unit_rows
from sslfast.kernels.common.info_nce_forms import divided
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import MISSING, Impl, Op
from sslfast.kernels.nt_xent import reference
from sslfast.kernels.sup_con.op import BACKWARD

# The results are sup_con's, with rows i and i + N as each other's positives, and the positive ranks. The loss is
# the mean of all if asked for: then it takes no node of its own in autograd's graph, of which each costs the host.
OP = Op(
    "nt_xent",
    "(Tensor features, float temperature, bool mean, bool need_positive_rank)"
    " -> (Tensor loss, Tensor top, Tensor log_sum, Tensor count, Tensor positive_rank)",
    impls=BACKWARD.impls,
)


@overload
def nt_xent(
    z1: Tensor, z2: Tensor, *, temperature: float | Tensor, reduction: Reduction = ...,
    return_rank: Literal[False] = ..., impl: Impl = ...,
) -> Tensor: ...  # fmt: skip
@overload
def nt_xent(
    z1: Tensor, z2: Tensor, *, temperature: float | Tensor, reduction: Reduction = ...,
    return_rank: Literal[True], impl: Impl = ...,
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def nt_xent(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: float | Tensor,
    reduction: Reduction = "mean",
    return_rank: bool = False,
    impl: Impl = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Computes NT-Xent: the cross-entropy of each view's other view among all other views of the batch.

    The loss is SimCLR's (Chen et al. 2020, equation 1):

        z = torch.cat([z1, z2])                                                   # (2N, D)
        logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)               # (2N, 2N)
        loss = F.cross_entropy(logits, torch.arange(2 * N).roll(N), reduction=reduction)

    The inputs are used as given: normalize them before, as SimCLR's cosine similarity does. The backward pass
    computes the logits again. Products are accumulated in fp32.

    Every sample's loss involves every row: NaN in one row makes all losses NaN.

    Args:
        z1: (N, D), the first views, fp32, fp16, bf16, or fp64 (reference only). Under autocast both are cast as
            for a matmul.
        z2: (N, D), the second views, in the same order; same dtype as z1.
        temperature: t > 0, divides the logits. A float, or a tensor of shape (), fp32 or fp64, which receives a
            gradient and is not read by the host.
        reduction: "mean" or "sum" over the 2N samples, or "none".
        return_rank: also return the rank of each sample's positive: how many negatives have a greater logit. 0 is
            the best; the contrastive top-k accuracy is `(positive_rank < k).float().mean()`. A negative whose
            logit equals the positive's up to rounding may count or not; NaN is not greater, nor is anything than
            NaN.
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Returns:
        The loss in fp32 (fp64 for fp64 inputs): a scalar, or (2N,) with reduction="none", those of z1 first.
        With return_rank, (loss, positive_rank): the ranks are int64, (2N,) whatever the reduction, and have no
        derivative.

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit.
        RuntimeError: an explicit `impl` that is not available; a derivative of the gradient, except from
            the reference.
    """
    checks.check_tensors("nt_xent", z1=z1, z2=z2)
    z1, z2 = autocast(z1, z2)
    _check(z1, z2)
    checks.check_reduction("nt_xent", reduction)
    check_unit_rows("nt_xent", z1=z1, z2=z2)
    z, scale = divided("nt_xent", torch.cat([z1, z2]), temperature, both=True)
    chosen = OP.choose(impl, z.device, z.dtype)
    if chosen == "reference":
        loss, positive_rank = reference.nt_xent(z, scale, return_rank, reduction)
    else:
        loss, *_, positive_rank = OP.call(chosen, z, scale, reduction == "mean", return_rank)
        loss = loss.sum() if reduction == "sum" else loss
    return (loss, positive_rank) if return_rank else loss


def _check(z1: Tensor, z2: Tensor) -> None:
    shape = z1.shape
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(f"nt_xent: expected z1 of shape (N, D) with D > 0, got {tuple(shape)}")
    if z2.shape != shape:
        raise ValueError(f"nt_xent: expected z2 of shape {tuple(shape)} to match z1, got {tuple(z2.shape)}")
    checks.check_alike("nt_xent", "z1", z1=z1, z2=z2)


@OP.fake
def _(features: Tensor, temperature: float, mean: bool, need_positive_rank: bool) -> tuple[Tensor, ...]:
    m = len(features)
    loss = features.new_empty(() if mean else m, dtype=torch.float32)
    rows = (features.new_empty(m, dtype=torch.float32) for _ in range(3))
    return loss, *rows, features.new_empty(m if need_positive_rank else 0, dtype=torch.int64)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    features, ctx.temperature, _, _ = inputs
    _, *rows, positive_rank = output
    ctx.mark_non_differentiable(*rows, positive_rank)
    ctx.save_for_backward(features, None, *rows)


def _backward(ctx: Any, d_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return BACKWARD.call(ctx.impl, d_loss, *ctx.saved_tensors, ctx.temperature), *[None] * 3


OP.autograd(_setup_context, _backward)

if MISSING["triton"] is None:
    from sslfast.kernels.nt_xent import triton_launch

    OP.triton(triton_launch.nt_xent)
