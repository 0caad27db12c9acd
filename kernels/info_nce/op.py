"""InfoNCE with a queue of negatives, as in MoCo, without the N x K matrix of logits."""

from typing import Any, Literal, overload

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.autocast import autocast
from sslfast.kernels.common.debug import check_unit_rows
from sslfast.kernels.common.info_nce_forms import (
    check_forms,
    debiased,
    divided,
    positive_logits,
    smoothing,
)
from sslfast.kernels.common.losses import Reduction, reduce
from sslfast.kernels.common.op import MISSING, Impl, Op
from sslfast.kernels.info_nce import reference

OP = Op(
    "info_nce",
    "(Tensor query, Tensor positive, Tensor queue, float temperature, bool need_dq, bool need_positive_rank)"
    " -> (Tensor loss, Tensor dq, Tensor positive_rank)",
    impls=("cpp", "triton", "triton_tma"),
    explicit=("triton_tma",),
)


@overload
def info_nce(
    query: Tensor, positive: Tensor, queue: Tensor, *, temperature: float | Tensor, label_smoothing: float = ...,
    positive_prior: float = ..., reduction: Reduction = ..., return_rank: Literal[False] = ..., impl: Impl = ...,
) -> Tensor: ...  # fmt: skip
@overload
def info_nce(
    query: Tensor, positive: Tensor, queue: Tensor, *, temperature: float | Tensor, label_smoothing: float = ...,
    positive_prior: float = ..., reduction: Reduction = ..., return_rank: Literal[True], impl: Impl = ...,
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def info_nce(
    query: Tensor,
    positive: Tensor,
    queue: Tensor,
    *,
    temperature: float | Tensor,
    label_smoothing: float = 0.0,
    positive_prior: float = 0.0,
    reduction: Reduction = "mean",
    return_rank: bool = False,
    impl: Impl = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Computes InfoNCE: the cross-entropy of each query's positive key among all keys of the queue.

    The loss is van den Oord et al.'s (2018, equation 4), in the form of MoCo (He et al. 2020, equation 1):

        positive_logits = (query * positive).sum(1, keepdim=True) / temperature  # (N, 1)
        negative_logits = query @ queue.T / temperature                          # (N, K)
        logits = torch.cat([positive_logits, negative_logits], dim=1)
        target = torch.zeros(N, dtype=torch.long)
        loss = F.cross_entropy(logits, target, reduction=reduction, label_smoothing=label_smoothing)

    The inputs are used as given: normalize them before. One pass over the queue gives the loss and the
    gradient to the query; the backward pass only scales it. Products are accumulated in fp32.

    Args:
        query: (N, D), fp32, fp16, bf16, or fp64 (reference only). Under autocast the inputs are cast as
            for a matmul.
        positive: (N, D), each query's positive key; same dtype as query. Receives a gradient if it asks.
        queue: (K, D), the negative keys; same dtype as query. K = 0 is allowed: the loss is 0. Or (N, K, D), of
            each row its own, such as hard ones: these receive a gradient if they ask, and have the reference only.
        temperature: t > 0, divides the logits. A float, or a tensor of shape (), fp32 or fp64, which receives a
            gradient and is not read by the host.
        label_smoothing: the share of the target that is spread evenly over all keys.
        positive_prior: the chance that a negative is of the query's class, by which the loss is debiased (Chuang
            et al. 2020, equation 8, with one positive): rows have to be of length 1.
        reduction: "mean" or "sum" over the N samples, or "none".
        return_rank: also return the rank of each query's positive: how many negatives have a greater logit. 0 is
            the best; the contrastive top-k accuracy is `(positive_rank < k).float().mean()`. A negative whose
            logit equals the positive's up to rounding may count or not; NaN is not greater, nor is anything than
            NaN.
        impl: "auto", "reference", "cpp" (CPU), "triton" (CUDA), or "triton_tma": a form of "triton" in which warps
            of their own copy tiles by TMA, for fp16 and bf16, D up to 256 and a multiple of 8, on GPUs of compute
            capability 9.x and 10.x. No GPU has run it yet, and "auto" does not choose it.

    Returns:
        The loss in fp32 (fp64 for fp64 inputs): a scalar, or (N,) with reduction="none".
        With return_rank, (loss, positive_rank): the ranks are int64, (N,) whatever the reduction, and have no
        derivative.

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit; a queue that requires grad (it receives none);
            a share out of range, or both shares.
        RuntimeError: an explicit `impl` that is not available; a derivative of the gradient, except from
            the reference.
    """
    checks.check_tensors("info_nce", query=query, positive=positive, queue=queue)
    query, positive, queue = autocast(query, positive, queue)
    _check(query, positive, queue)
    checks.check_reduction("info_nce", reduction)
    check_unit_rows("info_nce", query=query, positive=positive, queue=queue)
    if label_smoothing or positive_prior:
        check_forms("info_nce", label_smoothing, positive_prior)
    query, scale = divided("info_nce", query, temperature)
    chosen = OP.choose(impl, query.device, query.dtype)
    if queue.ndim == 3:
        chosen = _reference_only(impl)
    first = "none" if positive_prior else reduction
    if chosen == "reference":
        loss, positive_rank = reference.info_nce(query, positive, queue, scale, return_rank, first)
    else:
        need_dq = torch.is_grad_enabled() and query.requires_grad
        losses, _, positive_rank = OP.call(chosen, query, positive, queue, scale, need_dq, return_rank)
        loss = reduce(losses, first)
    if label_smoothing:
        mean_key = (positive + queue.sum(dim=-2, dtype=loss.dtype)) / (1 + queue.shape[-2])
        loss = loss + label_smoothing * reduce(smoothing(query, positive, mean_key, scale), reduction)
    if positive_prior:
        logits = positive_logits(query, positive, scale)
        losses = debiased(loss, logits, temperature, negatives=queue.shape[-2], prior=positive_prior)
        loss = reduce(losses, reduction)
    return (loss, positive_rank) if return_rank else loss


def _reference_only(impl: Impl) -> str:
    """Chooses the reference for negatives of each row's own, which are read once and share no product.

    Raises:
        RuntimeError: another one is asked for.
    """
    if impl not in ("auto", "reference"):
        raise RuntimeError(
            f"info_nce: impl={impl!r} is not available: negatives of each row's own, (N, K, D), have the "
            "reference only; use impl='auto'"
        )
    return "reference"


def _check(query: Tensor, positive: Tensor, queue: Tensor) -> None:
    shape = query.shape
    if len(shape) != 2:
        raise ValueError(f"info_nce: expected query of shape (N, D), got {tuple(shape)}")
    if shape[1] == 0:
        raise ValueError(f"info_nce: expected query of shape (N, D) with D > 0, got {tuple(shape)}")
    if positive.shape != shape:
        raise ValueError(
            f"info_nce: expected positives of shape {tuple(shape)} to match query, got {tuple(positive.shape)}"
        )
    n, d = shape
    own = queue.ndim == 3  # each row has its own negatives
    if queue.shape[-1:] != (d,) or (queue.shape[0] != n if own else queue.ndim != 2):
        expected = f"({n}, K, {d})" if own else f"(K, {d})"
        raise ValueError(f"info_nce: expected queue of shape {expected} to match query, got {tuple(queue.shape)}")
    checks.check_alike("info_nce", "query", query=query, positives=positive, queue=queue)
    if queue.requires_grad and not own and torch.is_grad_enabled():
        raise ValueError(
            "info_nce: expected a queue that does not require grad, for it receives none; pass queue.detach()"
        )


@OP.fake
def _(
    query: Tensor, positive: Tensor, queue: Tensor, temperature: float, need_dq: bool, need_positive_rank: bool
) -> tuple[Tensor, Tensor, Tensor]:
    n, d = query.shape
    loss = query.new_empty(n, dtype=torch.float32)
    dq = query.new_empty((n if need_dq else 0, d), dtype=torch.float32)
    return loss, dq, query.new_empty(n if need_positive_rank else 0, dtype=torch.int64)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    query, _, _, ctx.temperature, _, _ = inputs
    loss, dq, positive_rank = output
    ctx.mark_non_differentiable(dq, positive_rank)
    ctx.save_for_backward(query, loss, dq)


def _backward(ctx: Any, d_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    query, loss, dq = ctx.saved_tensors
    d_loss = d_loss[:, None]
    d_query = d_positive = None
    if ctx.needs_input_grad[0]:
        d_query = (d_loss * dq).to(query.dtype)
    if ctx.needs_input_grad[1]:
        # The positive's probability is p = exp(-loss), and d loss / d positive = (p - 1) / t * query.
        d_positive = (d_loss * torch.expm1(-loss)[:, None] / ctx.temperature * query).to(query.dtype)
    return d_query, d_positive, *[None] * 4


OP.autograd(_setup_context, _backward)

if MISSING["triton"] is None:
    from sslfast.kernels.info_nce import triton_kernels

    OP.triton(triton_kernels.info_nce)
    OP.triton(triton_kernels.info_nce_tma, "triton_tma")
