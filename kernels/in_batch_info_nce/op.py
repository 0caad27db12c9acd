"""Computes InfoNCE whose negatives are the batch's other keys, without the N x M matrix of logits."""

from numbers import Integral
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
from sslfast.kernels.in_batch_info_nce import reference

INPUTS = "Tensor query, Tensor keys, Tensor? row_ids, Tensor? key_ids"
TARGETS = "float temperature, int offset, int chunks"

OP = Op(
    "in_batch_info_nce",
    f"({INPUTS}, {TARGETS}, bool need_dq, bool need_positive_rank)"
    " -> (Tensor loss, Tensor dq, Tensor positive_rank)",
    impls=("cpp", "triton"),
)
# sum_i weights_i loss_i (without weights: 1 each), for a mean over N, and its gradients. A gradient to the keys
# adds up what rows send, so it can be taken in the forward pass only where the gradients of the losses are known
# to be equal.
TOTAL = Op(
    "in_batch_info_nce_total",
    f"({INPUTS}, Tensor? weights, {TARGETS}, bool mean, bool need_dq, bool need_positive_rank)"
    " -> (Tensor total, Tensor dq, Tensor dk, Tensor positive_rank)",
    impls=OP.impls,
    internal=True,
)


@overload
def in_batch_info_nce(
    query: Tensor, keys: Tensor, *, temperature: float | Tensor, offset: int = ..., chunks: int = ...,
    ids: tuple[Tensor, Tensor] | None = ..., label_smoothing: float = ..., positive_prior: float = ...,
    reduction: Reduction = ...,
    return_rank: Literal[False] = ..., impl: Impl = ...,
) -> Tensor: ...  # fmt: skip
@overload
def in_batch_info_nce(
    query: Tensor, keys: Tensor, *, temperature: float | Tensor, offset: int = ..., chunks: int = ...,
    ids: tuple[Tensor, Tensor] | None = ..., label_smoothing: float = ..., positive_prior: float = ...,
    reduction: Reduction = ...,
    return_rank: Literal[True], impl: Impl = ...,
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def in_batch_info_nce(
    query: Tensor,
    keys: Tensor,
    *,
    temperature: float | Tensor,
    offset: int = 0,
    chunks: int = 1,
    ids: tuple[Tensor, Tensor] | None = None,
    label_smoothing: float = 0.0,
    positive_prior: float = 0.0,
    reduction: Reduction = "mean",
    return_rank: bool = False,
    impl: Impl = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Computes in-batch InfoNCE: the cross-entropy of each row's own key among all keys of the batch.

    The loss is van den Oord et al.'s (2018, equation 4), in the form of MoCo v3 (Chen et al. 2021, algorithm 1):

        logits = query @ keys.T / temperature                     # (N, M)
        target = torch.arange(N // chunks).repeat(chunks) + offset  # (N,)
        if ids is not None:
            row_ids, key_ids = ids
            excluded = row_ids[:, None] == key_ids                # (N, M)
            excluded[torch.arange(N), target] = False
            logits = logits.masked_fill(excluded, -torch.inf)
        loss = F.cross_entropy(logits, target, reduction=reduction, label_smoothing=label_smoothing)

    The inputs are used as given: normalize them before. Products are accumulated in fp32. The forward pass gives
    the gradients too, and the backward pass only scales them; but with reduction="none", where each loss may
    have a gradient of its own, the backward pass computes the gradient to the keys.

    Args:
        query: (N, D), fp32, fp16, bf16, or fp64 (reference only); chunks of n = N / chunks rows, each of
            which has the same targets. Under autocast the inputs are cast as for a matmul.
        keys: (M, D), those of all ranks; same dtype as query. Each of both receives a gradient if it asks.
        temperature: t > 0, divides the logits. A float, or a tensor of shape (), fp32 or fp64, which receives a
            gradient and is not read by the host.
        offset: the key that is the target of a chunk's first row: n times the rank where keys were gathered.
        chunks: how many positives each key has among the rows, such as Fast-MoCo's 6 combined patches.
        ids: (row_ids, key_ids), int64 of shapes (N,) and (M,): keys that share the row's id, its target aside,
            are no negatives of it. None: all keys but the target are.
        label_smoothing: the share of the target that is spread evenly over all keys; without ids.
        positive_prior: the chance that a negative is of the row's class, by which the loss is debiased (Chuang et
            al. 2020, equation 8, with one positive): rows have to be of length 1; without ids.
        reduction: "mean" or "sum" over the N rows, or "none".
        return_rank: also return the rank of each row's positive: how many negatives have a greater logit. 0 is
            the best; the contrastive top-k accuracy is `(positive_rank < k).float().mean()`. A negative whose
            logit equals the positive's up to rounding may count or not; NaN is not greater, nor is anything than
            NaN.
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Returns:
        The loss in fp32 (fp64 for fp64 inputs): a scalar, or (N,) with reduction="none".
        With return_rank, (loss, positive_rank): the ranks are int64, (N,) whatever the reduction, and have no
        derivative.

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit; targets beyond the keys; a share out of range, both
            shares, or one beside ids.
        RuntimeError: an explicit `impl` that is not available; a derivative of the gradient, except from
            the reference.
    """
    checks.check_tensors("in_batch_info_nce", query=query, keys=keys)
    query, keys = autocast(query, keys)
    _check(query, keys, offset, chunks, ids)
    checks.check_reduction("in_batch_info_nce", reduction)
    check_unit_rows("in_batch_info_nce", query=query, keys=keys)
    if label_smoothing or positive_prior:
        check_forms("in_batch_info_nce", label_smoothing, positive_prior, has_ids=ids is not None)
    query, scale = divided("in_batch_info_nce", query, temperature)
    row_ids, key_ids = ids if ids is not None else (None, None)
    is_grad_enabled = torch.is_grad_enabled()
    need_dq, need_dk = is_grad_enabled and query.requires_grad, is_grad_enabled and keys.requires_grad
    eagerly = impl == "auto" and query.is_cpu and _is_faster_eagerly(query, keys, need_dk)
    chosen = "reference" if eagerly else OP.choose(impl, query.device, query.dtype)
    inputs, targets = (query, keys, row_ids, key_ids), (scale, offset, chunks)
    first = "none" if positive_prior else reduction
    if chosen == "reference":
        loss, positive_rank = reference.in_batch_info_nce(*inputs, *targets, return_rank, first)
    elif need_dk and first != "none" and len(query):  # the mean of no losses is NaN, but moves no key
        loss, _, _, positive_rank = TOTAL.call(
            chosen, *inputs, None, *targets, reduction == "mean", need_dq, return_rank
        )
    else:
        losses, _, positive_rank = OP.call(chosen, *inputs, *targets, need_dq, return_rank)
        loss = reduce(losses, first)
    if label_smoothing or positive_prior:
        positive = keys[offset : offset + len(query) // chunks].repeat(chunks, 1)
    if label_smoothing:
        added = smoothing(query, positive, keys.mean(dim=0, dtype=loss.dtype), scale)
        loss = loss + label_smoothing * reduce(added, reduction)
    if positive_prior:
        logits = positive_logits(query, positive, scale)
        losses = debiased(loss, logits, temperature, negatives=len(keys) - 1, prior=positive_prior)
        loss = reduce(losses, reduction)
    return (loss, positive_rank) if return_rank else loss


def _is_faster_eagerly(query: Tensor, keys: Tensor, need_dk: bool) -> bool:
    """Tells whether eager PyTorch is faster on a CPU: its matrix products in one piece, where they take the time.

    Measured: eager forward and backward take 0.8 to 1 times ours where the harmonic mean of N and M is at most D,
    so that the matrix of logits is no larger than half the inputs, or where it is small. With a gradient to the
    keys, which our forward pass gives too, that is so where the harmonic mean is at most half of D.
    """
    (n, d), m = query.shape, keys.shape[0]
    return n * m <= ((n + m) * d // 4 if need_dk else max(2**14, (n + m) * d // 2))


def _check(query: Tensor, keys: Tensor, offset: int, chunks: int, ids: tuple[Tensor, Tensor] | None) -> None:
    op = "in_batch_info_nce"
    shape, keys_shape = query.shape, keys.shape
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(f"{op}: expected query of shape (N, D) with D > 0, got {tuple(shape)}")
    n, d = shape
    if len(keys_shape) != 2 or keys_shape[1] != d:
        raise ValueError(f"{op}: expected keys of shape (M, {d}) to match query, got {tuple(keys_shape)}")
    checks.check_alike(op, "query", query=query, keys=keys)
    if type(offset) is not int or type(chunks) is not int:  # the usual case, without the ABC's check
        for name, number in (("offset", offset), ("chunks", chunks)):
            if not isinstance(number, (Integral, torch.SymInt)):
                raise ValueError(f"{op}: expected {name} to be a whole number, got {number!r}")
    if chunks < 1 or n % chunks:
        raise ValueError(f"{op}: expected chunks >= 1 that divide the {n} rows of query, got {chunks}")
    targets, m = n // chunks, keys_shape[0]
    if m < targets:
        raise ValueError(f"{op}: expected at least as many keys as targets, {targets}, got {m}")
    if not 0 <= offset <= m - targets:
        raise ValueError(
            f"{op}: expected an offset from 0 to {m - targets}, for {targets} targets among {m} keys, got {offset}"
        )
    if ids is None:
        return
    if not isinstance(ids, (tuple, list)) or len(ids) != 2:
        raise ValueError(f"{op}: expected ids to be a pair (row_ids, key_ids), got {ids!r}")
    for name, tensor, size in zip(("row_ids", "key_ids"), ids, (n, m), strict=True):
        checks.check_tensors(op, **{name: tensor})
        if tensor.shape != (size,) or tensor.dtype != torch.int64 or tensor.device != query.device:
            raise ValueError(
                f"{op}: expected {name} of shape ({size},), dtype torch.int64, on {query.device}, "
                f"got {tuple(tensor.shape)}, {tensor.dtype}, on {tensor.device}"
            )


@OP.fake
def _(
    query: Tensor, keys: Tensor, row_ids: Tensor | None, key_ids: Tensor | None,
    temperature: float, offset: int, chunks: int, need_dq: bool, need_positive_rank: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    n, d = query.shape
    loss = query.new_empty(n, dtype=torch.float32)
    dq = query.new_empty((n if need_dq else 0, d), dtype=torch.float32)
    return loss, dq, query.new_empty(n if need_positive_rank else 0, dtype=torch.int64)


@TOTAL.fake
def _(
    query: Tensor, keys: Tensor, row_ids: Tensor | None, key_ids: Tensor | None, weights: Tensor | None,
    temperature: float, offset: int, chunks: int, mean: bool, need_dq: bool, need_positive_rank: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    n, d = query.shape
    total = query.new_empty((), dtype=torch.float32)
    dq = query.new_empty((n if need_dq else 0, d), dtype=torch.float32)
    dk = torch.empty_like(keys, dtype=torch.float32, memory_format=torch.contiguous_format)
    return total, dq, dk, query.new_empty(n if need_positive_rank else 0, dtype=torch.int64)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    query, keys, row_ids, key_ids, *ctx.targets, _, _ = inputs
    _, dq, positive_rank = output
    ctx.mark_non_differentiable(dq, positive_rank)
    ctx.dtype = query.dtype
    # The inputs are for the gradient to the keys alone.
    ctx.save_for_backward(dq, *((query, keys, row_ids, key_ids) if ctx.needs_input_grad[1] else ()))


def _backward(ctx: Any, d_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    dq, *inputs = ctx.saved_tensors
    d_query = d_keys = None
    if ctx.needs_input_grad[0]:
        d_query = (d_loss[:, None] * dq).to(ctx.dtype)
    if ctx.needs_input_grad[1]:
        _, _, dk, _ = TOTAL.call(ctx.impl, *inputs, d_loss, *ctx.targets, False, False, False)
        d_keys = dk.to(ctx.dtype)
    return d_query, d_keys, *[None] * 7


OP.autograd(_setup_context, _backward)


def _setup_context_total(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, dq, dk, positive_rank = output
    ctx.mark_non_differentiable(dq, dk, positive_rank)
    ctx.dtype = inputs[0].dtype
    ctx.save_for_backward(dq, dk)


def _backward_total(ctx: Any, d_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    dq, dk = ctx.saved_tensors
    d_query = (d_total * dq).to(ctx.dtype) if ctx.needs_input_grad[0] else None
    d_keys = (d_total * dk).to(ctx.dtype) if ctx.needs_input_grad[1] else None
    return d_query, d_keys, *[None] * 9


TOTAL.autograd(_setup_context_total, _backward_total)

if MISSING["triton"] is None:
    from sslfast.kernels.in_batch_info_nce import triton_kernels

    OP.triton(triton_kernels.in_batch_info_nce)
    TOTAL.triton(triton_kernels.in_batch_info_nce_total)
