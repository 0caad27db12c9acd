"""The pass over keys in Triton, in parts that are merged, of the losses over query and keys.

With s_ij = q_i.k_j for the negatives k_j of row i, s_i the same for its positive k_i, c = log2(e)/t and
Z_i = 2^(c s_i) + sum_j 2^(c s_ij):

    loss_i = ln 2 (log2 Z_i - c s_i)
    dq_i = ((sum_j 2^(c s_ij) k_j + 2^(c s_i) k_i) / Z_i - k_i) / t
         = (sum_j 2^(c s_ij) k_j - (sum_j 2^(c s_ij)) k_i) / (Z_i t)

which is an attention forward pass with the keys as values. `partial_kernel` makes one pass over a part of the keys
and writes the part's maximum, sum and weighted sum of keys; `merge_kernel` adds the parts in a fixed order, so
that results are the same bits each time, and puts in the positive. With NEED_POSITIVE_RANK the pass also counts
the negatives with s_ij > s_i. Maxima are subtracted before the scale c is applied: a rounded c s_ij could differ
from the same, not rounded, as a fused multiply-add has it, by far more than 1 where t is small.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BN, BD] are shapes.
"""

import functools
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.common import tma
from sslfast.kernels.common.launch import (
    LOG2_E,
    LOWEST,
    SHARED_MEMORY,
    has_warpgroups,
    part_length,
    processors,
    shared_memory,
)

MAX_RESIDENT_D = 256  # wider accumulators leave the matrix unit idle: two products of torch's are faster
MAX_SMALL_D = 128  # the same where a block has less than SHARED_MEMORY


class StreamingConfig(NamedTuple):
    """The cut of `partial_kernel`. BN, BK: rows of query and keys a tile; BD: columns, a power of two."""

    BN: int
    BK: int
    BD: int
    split_rows: int  # keys a part
    num_warps: int
    num_stages: int
    blocks: int  # on a processor at the same time, where a block may have SHARED_MEMORY


def choose_config(
    shape: tuple[int, int, int],
    processors: int,
    warpgroups: bool,
    *,
    hopper: bool = False,
    comparing: bool = False,
) -> StreamingConfig:
    """Chooses the configuration for (N, K, D) in fp16 or bf16: tiles that fit, and work for every processor.

    A warpgroup has 64 rows for itself: where two share rows, each has half of the columns, for which the matrix
    unit waits for shared memory. With three stages the next tile is on its way while one is multiplied. While one
    block multiplies others take powers: the more blocks, the less the matrix unit waits.

    Args:
        shape: (N, K, D).
        processors: the GPU's streaming multiprocessors.
        warpgroups: whether its matrix unit takes the rows of four warps at a time.
        hopper: whether it is of compute capability 9.x, where narrow rows leave room for more blocks.
        comparing: with targets and ids, or counts of the negatives above the positive, which need registers too.
    """
    n, k, d = shape
    bd = max(16, triton.next_power_of_2(d))
    bn, bk, num_warps, blocks = 64, 64, 4, 2
    if comparing and not warpgroups:
        num_warps, blocks = 8, 1
    elif bd > 128:
        bn, bk, num_warps, blocks = (64, 32, 4, 2) if comparing else (128, 64, 8, 1)
    elif hopper and not comparing:
        blocks = 4 if bd <= 64 else 3
    split_rows = part_length(k, bk, triton.cdiv(n, bn), blocks * processors)
    return StreamingConfig(bn, bk, bd, split_rows, num_warps, num_stages=3, blocks=blocks)


def choose_tma_config(
    shape: tuple[int, int, int], processors: int, hopper: bool, *, counting: bool = False
) -> StreamingConfig:
    """Chooses the configuration of the kernel with TMA for (N, K, D), D <= tma.MAX_D, on Hopper or on Blackwell.

    On Hopper the accumulators pass through shared memory at the end, beside the tiles, which with 256 columns have
    to be small. On Blackwell they pass through registers at each tile: of 256 columns, 64 rows fit. To count the
    negatives above the positive takes registers too.
    """
    n, k, d = shape
    bd = max(16, triton.next_power_of_2(d))
    bn, bk, num_stages = 128, 128, 3
    if bd > 128 and hopper:
        bk, num_stages = (16, 4) if counting else (32, 2)
    elif bd > 128:
        bn, bk = 64, 64
    elif counting and not hopper:
        bk = 64
    split_rows = part_length(k, bk, triton.cdiv(n, bn), processors)
    return StreamingConfig(bn, bk, bd, split_rows, num_warps=4 if hopper else 8, num_stages=num_stages, blocks=1)


@triton.jit
def partial_kernel(
    p_query,  # [N, D]
    p_keys,  # [K, D]
    p_row_ids,  # [N], with IDS: row i passes over keys of the same id, as over its target with TARGETS
    p_key_ids,  # [K]
    p_max,  # [splits, N] out: max_j s_ij over the part
    p_sum,  # [splits, N] out: sum_j 2^(c (s_ij - max))
    p_acc,  # [splits, N, D] out: sum_j 2^(c (s_ij - max)) k_j
    p_positive,  # [N], with NEED_POSITIVE_RANK: s_i
    p_above,  # [splits, N] out, with NEED_POSITIVE_RANK: how many of the part's s_ij are greater than s_i
    N,
    K,
    D,
    split_rows,
    chunk_rows,  # row i has the target i % chunk_rows + offset
    offset,
    scale,  # c
    BN: tl.constexpr,
    BK: tl.constexpr,
    BD: tl.constexpr,
    TARGETS: tl.constexpr,
    IDS: tl.constexpr,
    NEED_DQ: tl.constexpr,
    NEED_POSITIVE_RANK: tl.constexpr,
    TMA: tl.constexpr,  # which copies tiles, asked by warps that do nothing else; see common/tma.py
    WHOLE: tl.constexpr,  # K is a multiple of BK
):
    i_n, i_split = tl.program_id(0), tl.program_id(1)
    o_n = i_n * BN + tl.arange(0, BN)
    o_d = tl.arange(0, BD)
    m_n, m_d = o_n < N, o_d < D
    o_query = o_n.to(tl.int64)[:, None] * D + o_d[None, :]  # [BN, BD]
    m_query = m_n[:, None] & m_d[None, :]
    if TMA:
        tiles = tl.make_tensor_descriptor(p_keys, [K, D], [D, 1], [BK, BD])
        b_query = tl.make_tensor_descriptor(p_query, [N, D], [D, 1], [BN, BD]).load([i_n * BN, 0])
    else:
        b_query = tl.load(p_query + o_query, mask=m_query, other=0.0)
    o_target = o_n % chunk_rows + offset
    if IDS:
        b_row_ids = tl.load(p_row_ids + o_n, mask=m_n, other=0)
    if NEED_POSITIVE_RANK:
        b_positive = tl.load(p_positive + o_n, mask=m_n, other=0.0)
        b_above = tl.zeros([BN], tl.int32)

    b_max = tl.full([BN], LOWEST, tl.float32)
    b_sum = tl.zeros([BN], tl.float32)
    b_acc = tl.zeros([BN, BD], tl.float32)
    first = i_split * split_rows
    for start in tl.range(first, min(first + split_rows, K), BK, warp_specialize=TMA):
        o_k = start + tl.arange(0, BK)
        if TMA:
            b_keys = tiles.load([start, 0])  # [BK, BD]
        else:
            o_keys = o_k.to(tl.int64)[:, None] * D + o_d[None, :]
            b_keys = tl.load(p_keys + o_keys, mask=(o_k < K)[:, None] & m_d[None, :], other=0.0)
        b_s = tl.dot(b_query, tl.trans(b_keys))  # [BN, BK]
        m_s = (o_k < K)[None, :]
        if TARGETS:
            m_s &= o_k[None, :] != o_target[:, None]
        if IDS:
            b_key_ids = tl.load(p_key_ids + o_k, mask=o_k < K, other=0)
            m_s &= b_key_ids[None, :] != b_row_ids[:, None]
        if not WHOLE or TARGETS or IDS:
            b_s = tl.where(m_s, b_s, float("-inf"))
        if NEED_POSITIVE_RANK:
            b_above += tl.sum((b_s > b_positive[:, None]).to(tl.int32), 1)
        b_new_max = tl.maximum(b_max, tl.max(b_s, 1))
        b_decay = tl.exp2((b_max - b_new_max) * scale)
        b_e = tl.exp2((b_s - b_new_max[:, None]) * scale)
        b_sum = b_sum * b_decay + tl.sum(b_e, 1)
        b_max = b_new_max
        if NEED_DQ:
            b_acc = tl.dot(b_e.to(b_keys.dtype), b_keys, acc=b_acc * b_decay[:, None])
    o_out = i_split.to(tl.int64) * N + o_n
    tl.store(p_max + o_out, b_max, mask=m_n)
    tl.store(p_sum + o_out, b_sum, mask=m_n)
    if NEED_POSITIVE_RANK:
        tl.store(p_above + o_out, b_above, mask=m_n)
    if NEED_DQ:
        tl.store(p_acc + i_split.to(tl.int64) * N * D + o_query, b_acc, mask=m_query)


@triton.jit
def merge_kernel(
    p_query,  # [N, D]
    p_positives,  # [., D]: row i's is in row i % chunk_rows + offset
    p_max,  # [splits, N]
    p_sum,  # [splits, N]
    p_acc,  # [splits, N, D]
    p_loss,  # [N] out
    p_dq,  # [N, D] out
    p_rows,  # [3, N] out: the largest s, 1 / Z_i relative to its power, the negatives' part of Z_i
    N,
    D,
    splits,
    chunk_rows,
    offset,
    scale,  # c
    inverse_t,
    BS: tl.constexpr,  # parts at a time
    BD: tl.constexpr,
    NEED_DQ: tl.constexpr,
    NEED_ROWS: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    i_positive = i_n % chunk_rows + offset
    o_d = tl.arange(0, BD)
    m_d = o_d < D
    b_query = tl.load(p_query + i_n * D + o_d, mask=m_d, other=0.0).to(tl.float32)  # [BD]
    b_positive = tl.load(p_positives + i_positive * D + o_d, mask=m_d, other=0.0).to(tl.float32)
    s_positive = tl.sum(b_query * b_positive)

    b_top = tl.full([BS], LOWEST, tl.float32)
    for start in range(0, splits, BS):
        o_s = start + tl.arange(0, BS)
        b_top = tl.maximum(b_top, tl.load(p_max + o_s * N + i_n, mask=o_s < splits, other=LOWEST))
    top = tl.maximum(s_positive, tl.max(b_top))
    b_sum = tl.zeros([BS], tl.float32)  # of 2^(c (s_ij - top))
    b_acc = tl.zeros([BD], tl.float32)
    for start in range(0, splits, BS):
        o_s = start + tl.arange(0, BS)
        m_s = o_s < splits
        o_part = o_s.to(tl.int64) * N + i_n
        b_weight = tl.exp2((tl.load(p_max + o_part, mask=m_s, other=LOWEST) - top) * scale)  # [BS]
        b_sum += b_weight * tl.load(p_sum + o_part, mask=m_s, other=0.0)
        if NEED_DQ:
            o_acc = o_part[:, None] * D + o_d[None, :]  # [BS, BD]
            b_parts = tl.load(p_acc + o_acc, mask=m_s[:, None] & m_d[None, :], other=0.0)
            b_acc += tl.sum(b_weight[:, None] * b_parts, 0)
    negatives = tl.sum(b_sum)
    z = negatives + tl.exp2((s_positive - top) * scale)
    tl.store(p_loss + i_n, ((top - s_positive) * scale + tl.log2(z)) * 0.6931471805599453)
    if NEED_DQ:
        b_dq = (b_acc - negatives * b_positive) / z * inverse_t
        tl.store(p_dq + i_n * D + o_d, b_dq, mask=m_d)
    if NEED_ROWS:
        tl.store(p_rows + i_n, top)
        tl.store(p_rows + N + i_n, 1 / z)
        tl.store(p_rows + 2 * N + i_n, negatives / z)


class Sums(NamedTuple):
    """The sums of rows of query over parts of the keys."""

    maxima: Tensor  # [splits, N]
    sums: Tensor  # [splits, N]
    acc: Tensor  # [splits, N, D] if a gradient is asked for, else [0, N, D]
    above: Tensor | None  # [splits, N] if positive ranks are asked for: counts of the negatives above the positive


class Targets(NamedTuple):
    """The places of the positives: row i's is key i % chunk_rows + offset."""

    chunk_rows: int
    offset: int
    row_ids: Tensor | None  # None: no ids are given
    key_ids: Tensor | None


def merge_config(splits: int, width: int) -> tuple[int, int]:
    """Chooses BS and the number of warps of `merge_kernel` for rows of this width, a power of two.

    A trip through BS parts waits for memory: where there are many parts of narrow rows, trips are few.
    """
    if splits > 32 and width <= 128:
        return 128, max(1, width // 8)
    return max(1, min(triton.next_power_of_2(splits), 4096 // width, 32)), max(1, min(8, width // 32))


def gather(
    query: Tensor, keys: Tensor, targets: Targets | None, scale: float, need_dq: bool, positive: Tensor | None,
    with_tma: bool = False,
) -> Sums:  # fmt: skip
    """Makes the pass over the keys; with targets, past each row's target and past keys of its id.

    Args:
        query: [N, D].
        keys: [K, D].
        targets: None: no key is left out.
        scale: c.
        need_dq: whether to sum keys for the gradient to the query.
        positive: s_i of the rows, [N], above which negatives are counted; None: they are not.
        with_tma: whether the kernel copies tiles by TMA, in a specialized loop.
    """
    (n, d), k = query.shape, len(keys)
    if with_tma:
        query, keys = tma.aligned(query), tma.aligned(keys)
        hopper, counting = tma.is_hopper(query), positive is not None
        c = choose_tma_config((n, k, d), processors(query), hopper, counting=counting)
    else:
        comparing = targets is not None or positive is not None
        gpu = processors(query), has_warpgroups(query)
        c = choose_config((n, k, d), *gpu, hopper=tma.is_hopper(query), comparing=comparing)
    splits = triton.cdiv(k, c.split_rows) if k else 0
    maxima = query.new_empty((splits, n), dtype=torch.float32)
    sums = torch.empty_like(maxima)
    acc = query.new_empty((splits if need_dq else 0, n, d), dtype=torch.float32)
    above = None if positive is None else query.new_empty((splits, n), dtype=torch.int32)
    chunk_rows, offset, row_ids, key_ids = targets or (n, 0, None, None)
    if splits:
        kernel = partial_kernel[(triton.cdiv(n, c.BN), splits)]
        launch = functools.partial(tma.launch, kernel) if with_tma else kernel
        launch(
            query, keys, row_ids, key_ids, maxima, sums, acc, positive, above, n, k, d, c.split_rows, chunk_rows,
            offset, scale, BN=c.BN, BK=c.BK, BD=c.BD, TARGETS=targets is not None, IDS=row_ids is not None,
            NEED_DQ=need_dq, NEED_POSITIVE_RANK=positive is not None, TMA=with_tma,
            WHOLE=with_tma and k % c.BK == 0, num_warps=c.num_warps, num_stages=c.num_stages,
        )  # fmt: skip
    return Sums(maxima, sums, acc, above)


def merge(
    query: Tensor, positives: Tensor, targets: Targets | None, parts: Sums, temperature: float, loss: Tensor,
    dq: Tensor, rows: Tensor, positive_rank: Tensor,
) -> None:  # fmt: skip
    """Writes the losses [N] and, unless these are empty, dq [N, D], rows [3, N] and the positive ranks [N]."""
    (n, d), block = query.shape, triton.next_power_of_2(query.shape[1])
    chunk_rows, offset, _, _ = targets or (n, 0, None, None)
    bs, num_warps = merge_config(len(parts.maxima), block)
    merge_kernel[(n,)](
        query, positives, parts.maxima, parts.sums, parts.acc, loss, dq, rows, n, d, len(parts.maxima),
        chunk_rows, offset, LOG2_E / temperature, 1 / temperature,
        BS=bs, BD=block, NEED_DQ=len(dq) > 0, NEED_ROWS=len(rows) > 0, num_warps=num_warps,
    )  # fmt: skip
    if parts.above is not None:
        torch.sum(parts.above, 0, out=positive_rank)


def is_resident(query: Tensor) -> bool:
    """Tells whether `gather` holds rows of this width: fp32's exact products leave no room for an accumulator."""
    widest = MAX_RESIDENT_D if shared_memory(query) >= SHARED_MEMORY else MAX_SMALL_D
    return query.shape[1] <= widest and query.dtype != torch.float32
