"""NT-Xent's forward pass over half of the matrix of logits, in Triton; triton_launch.py runs it.

s_ij = z_i.z_j is symmetric: a tile of it serves its anchors and, turned, its other rows. The rows are cut into
blocks, and the anchors of block a meet the blocks a, a + 1, ..., a + blocks / 2, counted around: so each two
blocks meet once, and all anchors have as much to do. Only where blocks / 2 is whole do the last ones meet twice:
either time the tile serves its anchors alone, as a block's tile with itself does.

Sums of powers over the anchors, of each other row, end with a tile. Sums over the other rows, of each anchor,
are kept for each place in a tile until the end: a tile's own would cross warps.

A tile takes each power once, 2^(c (s_ij - shift)) with c = log2(e)/t and one shift for all: the largest squared
norm of the program's anchors, which of normalized rows is the largest product that there may be. Where the
temperature is so small that c shift is above MOST_BITS, or rows are of such lengths that a sum leaves
2^-MOST_BITS to 2^MOST_BITS, the program takes powers relative to the maxima of a tile's rows and of its anchors,
two of each product. What sums are relative to is stored with them, and `merge_kernel` of sup_con adds either.

Offsets are in 32 bits: MAX_M and MAX_D of triton_launch.py keep them there.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BM, BM] are shapes, and the
first BM are other rows.
"""

import triton
import triton.language as tl

from sslfast.kernels.common.launch import LOWEST
from sslfast.kernels.sup_con.triton_forward import MOST_BITS
from sslfast.kernels.sup_con.triton_marks import is_special, mark

MIN_SUM, MAX_SUM = tl.constexpr(2.0**-MOST_BITS.value), tl.constexpr(2.0**MOST_BITS.value)


@triton.jit
def leave_range(b_sum):
    """Tells which sums, [BM], leave the range within which they are exact; NaN does."""
    return ((b_sum >= MIN_SUM) & (b_sum <= MAX_SUM)).to(tl.int32) ^ 1


@triton.jit
def block_of(number, blocks):
    """Returns the block with a number below 2 blocks, counted around."""
    return tl.where(number < blocks, number, number - blocks)


@triton.jit
def folded(b):
    """Adds the two rows of [BM, BM] that a thread of the matrix unit's tile has: [BM / 16, 8, BM]."""
    return tl.sum(tl.reshape(b, [b.shape[0] // 16, 2, 8, b.shape[1]]), 1)


@triton.jit
def pairs(p_pair, o, M):
    """Loads the products of rows with their positives."""
    return tl.load(p_pair + tl.minimum(o, mark(None, o, o < M, M)), mask=o < M, other=0.0)


@triton.jit
def store_positives(p_positive, p_count, o, m, b_positive):
    """Stores the products of rows with their positives, of which each has one."""
    tl.store(p_positive + o, b_positive.to(tl.float64), mask=m)
    tl.store(p_count + o, tl.full(o.shape, 1.0, tl.float32), mask=m)


@triton.jit
def tile_kernel(
    p_features,  # [M, D]
    p_top,  # [splits + (blocks - 1) / 2, M] out: what the sums are relative to
    p_sum,  # same shape, out: sum_j 2^(c (s_ij - top)): as anchors a row a part, as others a row a turn from 1 on
    p_positive,  # [M] fp64 out: s_ij of the pairs
    p_count,  # [M] out: 1, the number of positives
    p_pair,  # [M / 2], with NEED_POSITIVE_RANK: s_ij of the pairs
    p_above,  # as p_sum, out, with NEED_POSITIVE_RANK: how many s_ij are greater than p_pair, the own among them
    M,
    D,
    split_turns,
    scale,  # log2(e) / t
    BM: tl.constexpr,
    BD: tl.constexpr,
    NEED_POSITIVE_RANK: tl.constexpr,
):
    i_m, i_split = tl.program_id(0), tl.program_id(1)
    blocks, splits = tl.num_programs(0), tl.num_programs(1)
    o_m = i_m * BM + tl.arange(0, BM)
    o_d = tl.arange(0, BD)
    m_m, m_d = o_m < M, o_d < D
    o_anchor = o_m[:, None] * D + o_d[None, :]
    b_anchor = tl.load(p_features + o_anchor, mask=m_m[:, None] & m_d[None, :], other=0.0)  # [BM, BD]
    b_wide = b_anchor.to(tl.float32)
    shift = tl.max(tl.sum(b_wide * b_wide, 1), 0)
    b_mark = mark(None, o_m, m_m, M)
    if NEED_POSITIVE_RANK:
        b_pair = pairs(p_pair, o_m, M)

    first = i_split * split_turns
    form = tl.where(shift * scale <= MOST_BITS, 1, 2)  # 1: with the shift; 2: with maxima; 0: done
    while form > 0:
        last = min(first + split_turns, blocks // 2 + 1)
        b_top = tl.full([BM], LOWEST, tl.float32)
        b_sums = tl.zeros([BM // 16, 8, BM], tl.float32)
        b_left = tl.zeros([BM], tl.int32)  # whether a sum has left the range
        if NEED_POSITIVE_RANK:
            b_aboves = tl.zeros([BM // 16, 8, BM], tl.float32)  # a comparison gives a float in one instruction
            b_next = pairs(p_pair, block_of(i_m + first, blocks) * BM + tl.arange(0, BM), M)
        for turn in range(first, last):
            start = block_of(i_m + turn, blocks) * BM
            o_n = start + tl.arange(0, BM)
            m_n = o_n < M
            o_other = o_n[:, None] * D + o_d[None, :]
            b_other = tl.load(p_features + o_other, mask=m_n[:, None] & m_d[None, :], other=0.0)  # [BM, BD]
            b_s = tl.dot(b_other, tl.trans(b_anchor))  # [BM, BM]
            # Not `m_n & ...`: the interpreter makes integers of a mask and a scalar, which no store takes.
            m_turned = tl.where((turn > 0) & (2 * turn < blocks), m_n, False)
            if NEED_POSITIVE_RANK:  # read a tile ahead: Triton does so only for what products need
                b_other_pair = b_next
                b_next = pairs(p_pair, block_of(i_m + turn + 1, blocks) * BM + tl.arange(0, BM), M)
            if is_special(None, start - i_m * BM, M, BM, BM) | (start + BM > M) | (i_m * BM + BM > M):
                b_other_mark = mark(None, o_n, m_n, M)
                m_positive = (b_other_mark[:, None] == o_m[None, :]) & m_n[:, None]
                b_products = tl.where(m_positive, b_s, 0.0)
                b_positive, b_other_positive = tl.sum(b_products, 0), tl.sum(b_products, 1)
                m_found = m_m & (b_mark >= start) & (b_mark < start + BM)
                m_other_found = m_turned & (b_other_mark >= i_m * BM) & (b_other_mark < i_m * BM + BM)
                store_positives(p_positive, p_count, o_m, m_found, b_positive)
                store_positives(p_positive, p_count, o_n, m_other_found, b_other_positive)
                m_s = m_n[:, None] & m_m[None, :] & (o_n[:, None] != o_m[None, :])
                b_s = tl.where(m_s, b_s, float("-inf"))
            o_out = (splits + turn - 1) * M + o_n
            if NEED_POSITIVE_RANK:
                b_aboves += folded((b_s > b_pair[None, :]).to(tl.float32))
                b_other_above = tl.sum((b_s > b_other_pair[:, None]).to(tl.float32), 1)
                tl.store(p_above + o_out, b_other_above.to(tl.int32), mask=m_turned)
            if form == 1:
                b_e = tl.exp2((b_s - shift) * scale)
                b_sums += folded(b_e)
                b_other_sum = tl.sum(b_e, 1)
                b_left |= m_turned.to(tl.int32) & leave_range(b_other_sum)
                b_other_top = tl.zeros([BM], tl.float32) + shift
            else:
                b_other_top = tl.maximum(tl.max(b_s, 1), LOWEST)
                b_other_sum = tl.sum(tl.exp2((b_s - b_other_top[:, None]) * scale), 1)
                b_new_top = tl.maximum(b_top, tl.max(b_s, 0))
                b_sums *= tl.exp2((b_top - b_new_top) * scale)[None, None, :]
                b_sums += folded(tl.exp2((b_s - b_new_top[None, :]) * scale))
                b_top = b_new_top
            tl.store(p_top + o_out, b_other_top, mask=m_turned)
            tl.store(p_sum + o_out, b_other_sum, mask=m_turned)
        b_sum = tl.sum(tl.sum(b_sums, 0), 0)
        o_out = i_split * M + o_m
        tl.store(p_top + o_out, tl.where(form == 1, shift, b_top), mask=m_m)
        tl.store(p_sum + o_out, b_sum, mask=m_m)
        if NEED_POSITIVE_RANK:
            tl.store(p_above + o_out, tl.sum(tl.sum(b_aboves, 0), 0).to(tl.int32), mask=m_m)
        left = tl.maximum(tl.max(b_left, 0), tl.max(m_m.to(tl.int32) & leave_range(b_sum), 0))
        form = tl.where((form == 1) & (left > 0), 2, 0)
        # As it was. The compiler does not see that, and keeps nothing that follows from it in registers meanwhile.
        first = (last - 1) // split_turns * split_turns


@triton.jit
def rank_kernel(
    p_above,  # [parts, M]
    p_positive,  # [M] fp64
    p_pair,  # [M / 2]
    p_positive_rank,  # [M] out
    M,
    parts,
    BS: tl.constexpr,  # parts at a time
    BM: tl.constexpr,
):
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)
    m_m = o_m < M
    b_above = tl.zeros([BM], tl.int32)
    for start in range(0, parts, BS):
        o_s = start + tl.arange(0, BS)
        m_parts = (o_s < parts)[:, None] & m_m[None, :]
        b_above += tl.sum(tl.load(p_above + o_s[:, None] * M + o_m[None, :], mask=m_parts, other=0), 0)
    # The pair's own product is no negative, and is counted where its tile has rounded it up.
    b_positive = tl.load(p_positive + o_m, mask=m_m, other=0.0).to(tl.float32)
    b_above -= (b_positive > pairs(p_pair, o_m, M)).to(tl.int32)
    tl.store(p_positive_rank + o_m, b_above, mask=m_m)
