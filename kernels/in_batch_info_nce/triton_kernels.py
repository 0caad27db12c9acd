"""In-batch InfoNCE in Triton.

With s_ij = q_i.k_j, c = log2(e)/t, the target T of row i, N_i = sum_j 2^(c s_ij) over its negatives and
Z_i = 2^(c s_iT) + N_i:

    g_ij = 2^(c s_ij) / Z_i, 0 where excluded; g_iT = -N_i / Z_i
    dq_i = sum_j g_ij k_j / t        dk_j = sum_i g_ij q_i / t

Losses and dq come from the pass of common/streaming.py over the keys. Then `keys_kernel` computes the products
again: each program keeps a block of keys and goes through a part of the rows; the parts are summed in a fixed
order. Rows too wide for that pass, and fp32, go through `_blockwise`, in batches: torch's matrix products around
`gradient_kernel`, which turns s_ij into g_ij, so that no product is computed twice.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.common import streaming
from sslfast.kernels.common.launch import LOG2_E, add_matmul, has_warpgroups, matmul, processors
from sslfast.kernels.common.positives import positive_products
from sslfast.kernels.common.streaming import Targets

BATCH_ELEMENTS = 2**23  # of products that `_blockwise` aims at a time: in fp32 they stay in a large GPU's L2 cache
BATCH_ROWS = 256  # of `_blockwise` at least


@triton.jit
def keys_kernel(
    p_query,  # [N, D]
    p_keys,  # [M, D]
    p_row_ids,  # [N], with IDS
    p_key_ids,  # [M], with IDS
    p_rows,  # [3, N]: merge_kernel's, the last two times weights_i / t
    p_dk,  # [splits, M, D] out
    N,
    M,
    D,
    split_rows,
    chunk_rows,
    offset,
    scale,  # c
    BM: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
    IDS: tl.constexpr,
):
    i_m, i_split = tl.program_id(0), tl.program_id(1)
    o_m = i_m * BM + tl.arange(0, BM)
    o_d = tl.arange(0, BD)
    m_m, m_d = o_m < M, o_d < D
    o_keys = o_m.to(tl.int64)[:, None] * D + o_d[None, :]  # [BM, BD]
    m_keys = m_m[:, None] & m_d[None, :]
    b_keys = tl.load(p_keys + o_keys, mask=m_keys, other=0.0)
    if IDS:
        b_key_ids = tl.load(p_key_ids + o_m, mask=m_m, other=0)

    b_acc = tl.zeros([BM, BD], tl.float32)
    first = i_split * split_rows
    for start in range(first, min(first + split_rows, N), BN):
        o_n = start + tl.arange(0, BN)
        m_n = o_n < N
        o_query = o_n.to(tl.int64)[:, None] * D + o_d[None, :]  # [BN, BD]
        b_query = tl.load(p_query + o_query, mask=m_n[:, None] & m_d[None, :], other=0.0)
        b_max = tl.load(p_rows + o_n, mask=m_n, other=0.0)
        b_factor = tl.load(p_rows + N + o_n, mask=m_n, other=0.0)
        b_negatives = tl.load(p_rows + 2 * N + o_n, mask=m_n, other=0.0)
        b_s = tl.dot(b_keys, tl.trans(b_query))  # [BM, BN]
        # Rounded another way, s_ij may exceed the maximum.
        b_g = tl.exp2(tl.minimum(b_s - b_max[None, :], 0.0) * scale) * b_factor[None, :]
        if IDS:
            b_row_ids = tl.load(p_row_ids + o_n, mask=m_n, other=0)
            b_g = tl.where(b_key_ids[:, None] == b_row_ids[None, :], 0.0, b_g)
        is_target = o_m[:, None] == (o_n % chunk_rows + offset)[None, :]
        b_g = tl.where(is_target, -b_negatives[None, :], b_g)
        b_acc = tl.dot(b_g.to(b_query.dtype), b_query, acc=b_acc)
    tl.store(p_dk + i_split.to(tl.int64) * M * D + o_keys, b_acc, mask=m_keys)


@triton.jit
def gradient_kernel(
    p_products,  # [rows, M]: s_ij of a batch of rows
    p_gradients,  # [rows, M] out: weights_i g_ij / t
    p_loss,  # [N] out
    p_weights,  # [N], with WEIGHTS
    p_row_ids,  # [N], with IDS
    p_key_ids,  # [M], with IDS
    p_positive_rank,  # [N] out, with NEED_POSITIVE_RANK
    start,  # the batch's first row
    M,
    chunk_rows,
    offset,
    scale,  # c
    inverse_t,
    BM: tl.constexpr,
    WEIGHTS: tl.constexpr,
    IDS: tl.constexpr,
    NEED_GRADIENTS: tl.constexpr,
    NEED_POSITIVE_RANK: tl.constexpr,
):
    i_row = tl.program_id(0).to(tl.int64)
    i_n = start + i_row
    i_target = i_n % chunk_rows + offset
    p_products += i_row * M
    p_gradients += i_row * M
    s_positive = tl.load(p_products + i_target)
    if IDS:
        row_id = tl.load(p_row_ids + i_n)

    top = s_positive
    negatives = tl.zeros([], tl.float32)  # sum_j 2^(c (s_ij - top))
    if NEED_POSITIVE_RANK:
        above = tl.zeros([], tl.int32)
    for first in range(0, M, BM):
        o_m = first + tl.arange(0, BM)
        m_m = (o_m < M) & (o_m != i_target)
        if IDS:
            m_m &= tl.load(p_key_ids + o_m, mask=o_m < M, other=0) != row_id
        b_s = tl.load(p_products + o_m, mask=m_m, other=float("-inf"))  # [BM]
        if NEED_POSITIVE_RANK:
            above += tl.sum((b_s > s_positive).to(tl.int32), 0)
        new_top = tl.maximum(top, tl.max(b_s, 0))
        negatives = negatives * tl.exp2((top - new_top) * scale) + tl.sum(tl.exp2((b_s - new_top) * scale), 0)
        top = new_top
    z = negatives + tl.exp2((s_positive - top) * scale)
    tl.store(p_loss + i_n, ((top - s_positive) * scale + tl.log2(z)) * 0.6931471805599453)
    if NEED_POSITIVE_RANK:
        tl.store(p_positive_rank + i_n, above)
    if NEED_GRADIENTS:
        factor = inverse_t / z
        if WEIGHTS:
            factor *= tl.load(p_weights + i_n)
        for first in range(0, M, BM):
            o_m = first + tl.arange(0, BM)
            m_m = (o_m < M) & (o_m != i_target)
            if IDS:
                m_m &= tl.load(p_key_ids + o_m, mask=o_m < M, other=0) != row_id
            b_s = tl.load(p_products + o_m, mask=m_m, other=float("-inf"))
            b_g = tl.where(o_m == i_target, -negatives, tl.exp2((b_s - top) * scale)) * factor
            tl.store(p_gradients + o_m, b_g.to(p_gradients.dtype.element_ty), mask=o_m < M)


def in_batch_info_nce(
    query: Tensor, keys: Tensor, row_ids: Tensor | None, key_ids: Tensor | None,
    temperature: float, offset: int, chunks: int, need_dq: bool, need_positive_rank: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Computes losses (N,), fp32, and if asked for their gradients to the query and the positive ranks.

    The gradients are (N, D), fp32, else (0, D); the ranks (N,), int64, else (0,).
    """
    targets = _targets(query, row_ids, key_ids, offset, chunks)
    loss, dq, _, positive_rank = _compute(
        query, keys, targets, None, temperature, need_dq, False, need_positive_rank
    )
    return loss, dq, positive_rank


def in_batch_info_nce_total(
    query: Tensor, keys: Tensor, row_ids: Tensor | None, key_ids: Tensor | None, weights: Tensor | None,
    temperature: float, offset: int, chunks: int, mean: bool, need_dq: bool, need_positive_rank: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Computes the sum or mean of the losses, weighted or not, and its gradient to the keys (M, D), both fp32.

    If asked for, also the gradient to the query, (N, D), else (0, D), and the positive ranks (N,), else (0,).
    """
    targets = _targets(query, row_ids, key_ids, offset, chunks)
    loss, dq, dk, positive_rank = _compute(
        query, keys, targets, weights, temperature, need_dq, True, need_positive_rank
    )
    loss = loss if weights is None else loss * weights
    if not mean:
        return loss.sum(), dq, dk, positive_rank
    # Not within the kernels, whose products take the gradients in fp16: these may be too small for it.
    return loss.mean(), dq.div_(len(query)), dk.div_(len(query)), positive_rank


def _targets(query: Tensor, row_ids: Tensor | None, key_ids: Tensor | None, offset: int, chunks: int) -> Targets:
    if row_ids is not None and key_ids is not None:
        row_ids, key_ids = row_ids.contiguous(), key_ids.contiguous()
    return Targets(len(query) // chunks, offset, row_ids, key_ids)


def _compute(
    query: Tensor, keys: Tensor, targets: Targets, weights: Tensor | None, temperature: float,
    need_dq: bool, need_dk: bool, need_positive_rank: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    query, keys = query.contiguous(), keys.contiguous()
    n, d = query.shape
    loss = query.new_empty(n, dtype=torch.float32)
    dq = query.new_empty((n if need_dq else 0, d), dtype=torch.float32)
    dk = query.new_zeros((len(keys) if need_dk else 0, d), dtype=torch.float32)
    positive_rank = query.new_empty(n if need_positive_rank else 0, dtype=torch.int64)
    if n == 0:
        return loss, dq, dk, positive_rank
    weights = None if weights is None else weights.contiguous()
    with torch.cuda.device_of(query):
        run = _resident if streaming.is_resident(query) else _blockwise
        run(query, keys, targets, weights, temperature, loss, dq, dk, positive_rank)
    return loss, dq, dk, positive_rank


# Both write the losses and, unless these are empty, dq, dk, which comes filled with zeros, and the positive ranks.


def _resident(
    query: Tensor, keys: Tensor, targets: Targets, weights: Tensor | None, temperature: float,
    loss: Tensor, dq: Tensor, dk: Tensor, positive_rank: Tensor,
) -> None:  # fmt: skip
    (n, d), m, scale = query.shape, len(keys), LOG2_E / temperature
    positives = keys[targets.offset : targets.offset + targets.chunk_rows]
    products = positive_products(query, positives) if len(positive_rank) else None
    parts = streaming.gather(query, keys, targets, scale, len(dq) > 0, products)
    rows = loss.new_empty((3 if len(dk) else 0, n))
    streaming.merge(query, keys, targets, parts, temperature, loss, dq, rows, positive_rank)
    if weights is not None:
        dq *= weights[: len(dq), None]
    if not len(dk):
        return
    rows[1:] *= 1 / temperature if weights is None else weights / temperature
    c = streaming.choose_config((m, n, d), processors(query), has_warpgroups(query), comparing=True)
    splits = triton.cdiv(n, c.split_rows)
    dk_parts = dk.new_empty((splits, m, d))
    keys_kernel[(triton.cdiv(m, c.BN), splits)](
        query, keys, targets.row_ids, targets.key_ids, rows, dk_parts, n, m, d, c.split_rows, targets.chunk_rows,
        targets.offset, scale, BM=c.BN, BN=c.BK, BD=c.BD, IDS=targets.row_ids is not None,
        num_warps=c.num_warps, num_stages=c.num_stages,
    )  # fmt: skip
    torch.sum(dk_parts, 0, out=dk)


def _blockwise(
    query: Tensor, keys: Tensor, targets: Targets, weights: Tensor | None, temperature: float,
    loss: Tensor, dq: Tensor, dk: Tensor, positive_rank: Tensor,
) -> None:  # fmt: skip
    m, scale, need_gradients = len(keys), LOG2_E / temperature, len(dq) + len(dk) > 0
    size = max(BATCH_ROWS, BATCH_ELEMENTS // m)
    for start in range(0, len(query), size):
        batch = query[start : start + size]
        products = matmul(batch, keys.T)
        gradients = batch.new_empty(products.shape if need_gradients else (0, 0))
        gradient_kernel[(len(batch),)](
            products, gradients, loss, weights, targets.row_ids, targets.key_ids, positive_rank, start, m,
            targets.chunk_rows, targets.offset, scale, 1 / temperature, BM=min(4096, triton.next_power_of_2(m)),
            WEIGHTS=weights is not None, IDS=targets.row_ids is not None, NEED_GRADIENTS=need_gradients,
            NEED_POSITIVE_RANK=len(positive_rank) > 0, num_warps=8,
        )  # fmt: skip
        if len(dq):
            dq[start : start + size] = matmul(gradients, keys)
        if len(dk):
            add_matmul(dk, gradients.T, batch)
