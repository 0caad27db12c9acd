"""The forward pass of the supervised contrastive loss, and of NT-Xent, in Triton; triton_launch.py runs it.

With s_ij = z_i.z_j, c = log2(e)/t, P(i) the other rows of i's group (label or pair), top_i = max_{j != i} s_ij and
Z_i = sum_{j != i} 2^(c (s_ij - top_i)):

    loss_i = ln 2 (c (top_i - mean_{p in P(i)} s_ip) + log2 Z_i)

`partial_kernel` takes a block of anchors through a part of the rows and `merge_kernel` adds the parts in a fixed
order, the sum over the positives in fp64: where rows are long and hardly differ, its rounding is all that differs.
Large batches of NT-Xent have a kernel of their own in place of `partial_kernel`, in nt_xent. Rows too wide for an
accumulator in registers, and fp32, go through torch's matrix products, which `row_kernel` reads.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BM, BN] are shapes.
"""

import triton
import triton.language as tl

from sslfast.kernels.common.launch import LOWEST
from sslfast.kernels.sup_con.triton_marks import is_special, mark, names

LN_2 = tl.constexpr(0.6931471805599453)
# Of sums of at least 2^-64 what is lost below 2^-126, fp32's smallest, is less than their rounding.
MOST_BITS = tl.constexpr(64.0)


@triton.jit
def partial_kernel(
    p_features,  # [M, D]
    p_labels,  # [M] or None
    p_top,  # [splits, M] out: max_j s_ij over the part
    p_sum,  # [splits, M] out: sum_j 2^(c (s_ij - top))
    p_positive,  # [splits, M] fp64 out: sum over the positives of s_ij
    p_count,  # [splits, M] out: the number of positives
    p_pair,  # [M / 2], with NEED_POSITIVE_RANK: s_ij of the pairs
    p_above,  # [splits, M] out, with NEED_POSITIVE_RANK: how many of the part's s_ij are greater than the pair's
    M,
    D,
    split_rows,
    scale,  # log2(e) / t
    BM: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
    NEED_POSITIVE_RANK: tl.constexpr,
):
    i_m, i_split = tl.program_id(0), tl.program_id(1)
    o_m = i_m * BM + tl.arange(0, BM)
    o_d = tl.arange(0, BD)
    m_m, m_d = o_m < M, o_d < D
    o_anchor = o_m.to(tl.int64)[:, None] * D + o_d[None, :]
    b_anchor = tl.load(p_features + o_anchor, mask=m_m[:, None] & m_d[None, :], other=0.0)  # [BM, BD]
    b_mark = mark(p_labels, o_m, m_m, M)
    if NEED_POSITIVE_RANK:
        b_pair = tl.load(p_pair + tl.minimum(o_m, b_mark), mask=m_m, other=0.0)
        b_above = tl.zeros([BM], tl.int32)

    b_top = tl.full([BM], LOWEST, tl.float32)
    b_sum = tl.zeros([BM], tl.float32)
    b_positive = tl.zeros([BM], tl.float64)
    b_count = tl.zeros([BM], tl.float32)
    first = i_split * split_rows
    last = min(first + split_rows, M)
    o_n = first + tl.arange(0, BN)
    b_names = names(p_labels, o_n, o_n < M)  # read a tile ahead: Triton does so only for what products need
    for start in range(first, last, BN):
        o_n = start + tl.arange(0, BN)
        m_n = o_n < M
        o_other = o_n.to(tl.int64)[:, None] * D + o_d[None, :]
        b_other = tl.load(p_features + o_other, mask=m_n[:, None] & m_d[None, :], other=0.0)  # [BN, BD]
        b_s = tl.dot(b_anchor, tl.trans(b_other))  # [BM, BN]
        b_negative = b_s
        if p_labels is not None:
            m_positive = (b_mark[:, None] == b_names[None, :]) & m_n[None, :] & (o_m[:, None] != o_n[None, :])
            b_tile_count = tl.sum(m_positive.to(tl.float32), 1)
            b_count += b_tile_count
            b_names = names(p_labels, o_n + BN, o_n + BN < last)
        if is_special(p_labels, start - i_m * BM, M, BM, BN) | (start + BN > M):
            m_s = m_n[None, :] & (o_m[:, None] != o_n[None, :])
            if p_labels is None:  # one positive: its sum has no rounding
                m_positive = b_mark[:, None] == o_n[None, :]
                b_positive += tl.sum(tl.where(m_positive, b_s, 0.0), 1).to(tl.float64)
                b_count += tl.sum(m_positive.to(tl.float32), 1)
                b_negative = tl.where(m_s & ~m_positive, b_s, float("-inf"))
            b_s = tl.where(m_s, b_s, float("-inf"))
        if NEED_POSITIVE_RANK:
            b_above += tl.sum((b_negative > b_pair[:, None]).to(tl.int32), 1)
        b_new_top = tl.maximum(b_top, tl.max(b_s, 1))
        b_e = tl.exp2((b_s - b_new_top[:, None]) * scale)
        b_sum = b_sum * tl.exp2((b_top - b_new_top) * scale) + tl.sum(b_e, 1)
        if p_labels is not None:
            b_near = tl.where(b_new_top < float("inf"), b_new_top, 0.0)  # subtracted within the tile, in fp32
            b_below = tl.sum(tl.where(m_positive, b_s - b_near[:, None], 0.0), 1)
            b_positive += b_below.to(tl.float64) + b_tile_count.to(tl.float64) * b_near
        b_top = b_new_top
    o_out = i_split.to(tl.int64) * M + o_m
    tl.store(p_top + o_out, b_top, mask=m_m)
    tl.store(p_sum + o_out, b_sum, mask=m_m)
    tl.store(p_positive + o_out, b_positive, mask=m_m)
    tl.store(p_count + o_out, b_count, mask=m_m)
    if NEED_POSITIVE_RANK:
        tl.store(p_above + o_out, b_above, mask=m_m)


@triton.jit
def store_rows(p_loss, p_top, p_log_sum, p_count, o, m, top, total, positive, count, scale, SHIFTED: tl.constexpr):
    """Ends the forward pass for rows: from the sums over all others to what the operator returns."""
    log_sum = tl.log2(total)
    distance = (top - positive / tl.maximum(count, 1.0)).to(tl.float32)
    loss = (distance * scale + log_sum) * LN_2
    if SHIFTED:
        # top may be a shift, of at most MOST_BITS, which products exceed by as much at the most; log2 Z they do
        # not exceed. Farther from 0, top is the maximum, and log2 Z would be lost in its rounding.
        m_near = tl.abs(top * scale) < 4 * MOST_BITS
        top = tl.where(m_near, top + log_sum / scale, top)
        log_sum = tl.where(m_near, 0.0, log_sum)
    tl.store(p_loss + o, tl.where(count > 0, loss, 0.0), mask=m)
    tl.store(p_top + o, top, mask=m)
    tl.store(p_log_sum + o, log_sum, mask=m)
    tl.store(p_count + o, count, mask=m)


@triton.jit
def merge_kernel(
    p_tops,  # [parts, M]
    p_sums,  # [parts, M]
    p_positives,  # [positive_parts, M] fp64
    p_counts,  # [positive_parts, M]
    p_loss,  # [M] out
    p_top,  # [M] out
    p_log_sum,  # [M] out
    p_count,  # [M] out
    M,
    parts,
    positive_parts,  # at most `parts`
    scale,
    BS: tl.constexpr,  # parts at a time
    BM: tl.constexpr,
    SHIFTED: tl.constexpr,  # whether tops may be shifts of tile_kernel, in nt_xent, and not maxima
):
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)
    m_m = o_m < M
    b_tops = tl.full([BS, BM], LOWEST, tl.float32)
    for start in range(0, parts, BS):
        o_s = start + tl.arange(0, BS)
        o_parts = o_s.to(tl.int64)[:, None] * M + o_m[None, :]  # [BS, BM]
        m_parts = (o_s < parts)[:, None] & m_m[None, :]
        b_tops = tl.maximum(b_tops, tl.load(p_tops + o_parts, mask=m_parts, other=LOWEST))
    b_top = tl.max(b_tops, 0)
    b_sum = tl.zeros([BM], tl.float32)
    b_positive = tl.zeros([BM], tl.float64)
    b_count = tl.zeros([BM], tl.float32)
    for start in range(0, parts, BS):
        o_s = start + tl.arange(0, BS)
        o_parts = o_s.to(tl.int64)[:, None] * M + o_m[None, :]
        m_parts = (o_s < parts)[:, None] & m_m[None, :]
        b_weights = tl.exp2((tl.load(p_tops + o_parts, mask=m_parts, other=LOWEST) - b_top[None, :]) * scale)
        b_sum += tl.sum(b_weights * tl.load(p_sums + o_parts, mask=m_parts, other=0.0), 0)
        m_parts &= (o_s < positive_parts)[:, None]
        b_positive += tl.sum(tl.load(p_positives + o_parts, mask=m_parts, other=0.0), 0)
        b_count += tl.sum(tl.load(p_counts + o_parts, mask=m_parts, other=0.0), 0)
    store_rows(p_loss, p_top, p_log_sum, p_count, o_m, m_m, b_top, b_sum, b_positive, b_count, scale, SHIFTED)


@triton.jit
def row_kernel(
    p_products,  # [rows, M]: s_ij of the anchors from `first` on
    p_labels,  # [M] or None
    p_loss,  # [M] out
    p_top,  # [M] out
    p_log_sum,  # [M] out
    p_count,  # [M] out
    p_pair,  # [M / 2], with NEED_POSITIVE_RANK: s_ij of the pairs
    p_positive_rank,  # [M] out, with NEED_POSITIVE_RANK
    first,
    rows,
    M,
    scale,  # log2(e) / t
    BM: tl.constexpr,
    BN: tl.constexpr,
    NEED_POSITIVE_RANK: tl.constexpr,
):
    o_row = tl.program_id(0) * BM + tl.arange(0, BM)
    m_m = o_row < rows
    o_m = first + o_row
    b_mark = mark(p_labels, o_m, m_m, M)
    b_tops = tl.full([BM, BN], LOWEST, tl.float32)
    b_sums = tl.zeros([BM, BN], tl.float32)
    b_positives = tl.zeros([BM, BN], tl.float64)
    b_counts = tl.zeros([BM, BN], tl.float32)
    if NEED_POSITIVE_RANK:
        b_pair = tl.load(p_pair + tl.minimum(o_m, b_mark), mask=m_m, other=0.0)
        b_above = tl.zeros([BM, BN], tl.int32)
    for start in range(0, M, BN):
        o_n = start + tl.arange(0, BN)
        m_n = o_n < M
        m_s = m_m[:, None] & m_n[None, :] & (o_m[:, None] != o_n[None, :])
        o_s = o_row.to(tl.int64)[:, None] * M + o_n[None, :]
        b_s = tl.load(p_products + o_s, mask=m_s, other=float("-inf"))
        m_positive = m_s & (b_mark[:, None] == names(p_labels, o_n, m_n)[None, :])
        b_positives += tl.where(m_positive, b_s, 0.0)
        b_counts += m_positive.to(tl.float32)
        if NEED_POSITIVE_RANK:
            b_above += (m_s & ~m_positive & (b_s > b_pair[:, None])).to(tl.int32)
        b_new_tops = tl.maximum(b_tops, b_s)
        b_sums = b_sums * tl.exp2((b_tops - b_new_tops) * scale) + tl.exp2((b_s - b_new_tops) * scale)
        b_tops = b_new_tops
    b_top = tl.max(b_tops, 1)
    b_sum = tl.sum(b_sums * tl.exp2((b_tops - b_top[:, None]) * scale), 1)
    b_positive, b_count = tl.sum(b_positives, 1), tl.sum(b_counts, 1)
    store_rows(p_loss, p_top, p_log_sum, p_count, o_m, m_m, b_top, b_sum, b_positive, b_count, scale, False)
    if NEED_POSITIVE_RANK:
        tl.store(p_positive_rank + o_m, tl.sum(b_above, 1), mask=m_m)
