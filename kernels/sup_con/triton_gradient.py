"""The gradient of the supervised contrastive loss, and of NT-Xent, in Triton; triton_launch.py runs it.

With s_ij, c, P(i), top_i and Z_i of triton_forward.py:

    dz_i = 1/t sum_{j != i} w_ij z_j,  w_ij = g_i p_ij + g_j p_ji - [j in P(i)] (g_i / |P(i)| + g_j / |P(j)|)

where p_ij = 2^(c (s_ij - top_i) - log2 Z_i) and g_i is the gradient of loss_i, 0 for an anchor without positives.
`gradient_kernel` takes a block of anchors through a part of the rows, with s_ij computed again, and `sum_kernel`
adds the parts in a fixed order. Rows too wide for an accumulator in registers, and fp32, go through torch's matrix
products, with `weight_kernel` between them.

w is a factor of a product in fp16 or bf16, and g_i may be too small for fp16 (1/M, for a mean) or too large
(scaled by a gradient scaler): `prepare_kernel` divides all g_i by the largest, which is put back into the result.

With L_i = c top_i + log2 Z_i and L their maximum, p_ij = 2^(c s_ij - L) 2^(L - L_i); so for p_ji: one power gives
both, as long as the L_i lie so near to one another that none of the factors leaves fp32. That is so for normalized
rows at usual temperatures; `prepare_kernel` looks, and `gradient_kernel` has both forms.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BM, BN] are shapes.
"""

import triton
import triton.language as tl

from sslfast.kernels.sup_con.triton_marks import is_special, mark, names

MAX_DISTANCE = tl.constexpr(64.0)  # of the L_i: 2^-126 is fp32's smallest, and 2^-62 of a probability is nothing
MAX_SHIFT = tl.constexpr(1024.0)


@triton.jit
def pushes(b_s, o_m, m_m, start, m_n, p_top, p_push, scale):
    """Returns the positive terms of a tile's weights w_ij, [BM, BN], without the unit; also where i = j."""
    # s_ij may be rounded otherwise than the s_ij and s_ji that gave the tops, and exceed them: so the minimum.
    # Only where logits pass 1e5 is their rounding large enough to show in the powers.
    b_power = (b_s - tl.load(p_top + o_m, mask=m_m, other=0.0)[:, None]) * scale
    b_power = tl.minimum(b_power, 0.0, tl.PropagateNan.ALL)
    b_w = tl.load(p_push + o_m, mask=m_m, other=0.0)[:, None] * tl.exp2(b_power)
    # `start` goes to the pointer: offsets that hold it, one a column, take registers that gradient_kernel lacks.
    o_column = tl.arange(0, b_s.shape[1])
    b_power = (b_s - tl.load(p_top + start + o_column, mask=m_n, other=0.0)[None, :]) * scale
    b_power = tl.minimum(b_power, 0.0, tl.PropagateNan.ALL)
    return b_w + tl.load(p_push + start + o_column, mask=m_n, other=0.0)[None, :] * tl.exp2(b_power)


@triton.jit
def pulled(b_w, o_m, m_m, o_n, m_n, p_labels, p_pull, M):
    """Returns weights w_ij of their positive terms: less the positives' pulls; 0 where i = j or past the end."""
    b_pull = (
        tl.load(p_pull + o_m, mask=m_m, other=0.0)[:, None] + tl.load(p_pull + o_n, mask=m_n, other=0.0)[None, :]
    )
    m_positive = mark(p_labels, o_m, m_m, M)[:, None] == names(p_labels, o_n, m_n)[None, :]
    b_w -= tl.where(m_positive, b_pull, 0.0)
    return tl.where(m_n[None, :] & (o_m[:, None] != o_n[None, :]), b_w, 0.0)


@triton.jit
def loss_gradients(p_d_loss, o, m, M, MEAN: tl.constexpr):
    """Loads the gradients of rows' losses; of their mean there is one, of which each loss has an equal part."""
    return tl.where(m, tl.load(p_d_loss) / M, 0.0) if MEAN else tl.load(p_d_loss + o, mask=m, other=0.0)


@triton.jit
def prepare_kernel(
    p_d_loss,  # [M]; with MEAN [1]: of the losses' mean
    p_count,  # [M]
    p_top,  # [M]
    p_log_sum,  # [M]
    p_push,  # [M] out: g_i / (Z_i unit)
    p_pull,  # [M] out: g_i / (|P(i)| unit)
    p_shifted,  # [M] out: 2^(L - L_i) g_i / unit, if there is a shift
    p_numbers,  # [2] out: unit, which is max |g_i|; the shift L, or infinity where the L_i are too far apart
    M,
    scale,  # log2(e) / t
    BM: tl.constexpr,
    MEAN: tl.constexpr,
):
    # Every program looks at all rows, so that one launch is enough, and writes its own.
    b_unit = tl.full([BM], 1e-38, tl.float32)  # not 0: it divides
    b_most = tl.full([BM], float("-inf"), tl.float32)
    b_least = tl.full([BM], float("inf"), tl.float32)
    for start in range(0, M, BM):
        o_m = start + tl.arange(0, BM)
        m_m = o_m < M
        b_count = tl.load(p_count + o_m, mask=m_m, other=0.0)
        b_g = loss_gradients(p_d_loss, o_m, m_m & (b_count > 0), M, MEAN)
        b_unit = tl.maximum(b_unit, tl.abs(b_g))
        b_log = tl.load(p_top + o_m, mask=m_m, other=0.0) * scale + tl.load(p_log_sum + o_m, mask=m_m, other=0.0)
        b_log = tl.where(b_log == b_log, b_log, float("inf"))  # NaN, too, lets there be no shift
        b_most = tl.maximum(b_most, tl.where(m_m, b_log, float("-inf")))
        b_least = tl.minimum(b_least, tl.where(m_m, b_log, float("inf")))
    unit, most, least = tl.max(b_unit, 0), tl.max(b_most, 0), tl.min(b_least, 0)
    # Beyond MAX_SHIFT the rounding of L_i would show beside that of the weights, which are in fp16 or bf16.
    is_near = (most - least < MAX_DISTANCE) & (tl.abs(most) < MAX_SHIFT)

    o_m = tl.program_id(0) * BM + tl.arange(0, BM)
    m_m = o_m < M
    b_count = tl.load(p_count + o_m, mask=m_m, other=0.0)
    b_g = loss_gradients(p_d_loss, o_m, m_m & (b_count > 0), M, MEAN) / unit
    b_log_sum = tl.load(p_log_sum + o_m, mask=m_m, other=0.0)
    b_log = tl.load(p_top + o_m, mask=m_m, other=0.0) * scale + b_log_sum
    tl.store(p_push + o_m, b_g * tl.exp2(-b_log_sum), mask=m_m)
    tl.store(p_pull + o_m, b_g / tl.maximum(b_count, 1.0), mask=m_m)
    tl.store(p_shifted + o_m, b_g * tl.exp2(most - b_log), mask=m_m)
    if tl.program_id(0) == 0:
        tl.store(p_numbers, unit)
        tl.store(p_numbers + 1, tl.where(is_near, most, float("inf")))


@triton.jit
def gradient_kernel(
    p_features,  # [M, D]
    p_labels,  # [M] or None
    p_top,  # [M]
    p_push,  # [M]
    p_pull,  # [M]
    p_shifted,  # [M]
    p_numbers,  # [2]: unit, and the shift or infinity
    p_dz,  # [splits, M, D] out: the part's share
    M,
    D,
    split_rows,
    scale,  # log2(e) / t
    inverse_t,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
    WHOLE: tl.constexpr,  # whether every tile is: M is a multiple of BM and BN, and D = BD
):
    i_m, i_split = tl.program_id(0), tl.program_id(1)
    o_m = i_m * BM + tl.arange(0, BM)
    o_d = tl.arange(0, BD)
    m_m, m_d = o_m < M, o_d < D
    o_anchor = o_m.to(tl.int64)[:, None] * D + o_d[None, :]
    m_anchor = m_m[:, None] & m_d[None, :]
    b_anchor = tl.load(p_features + o_anchor, mask=m_anchor, other=0.0)  # [BM, BD]
    b_shifted = tl.load(p_shifted + o_m, mask=m_m, other=0.0)
    unit, shift = tl.load(p_numbers), tl.load(p_numbers + 1)

    b_dz = tl.zeros([BM, BD], tl.float32)
    first = i_split * split_rows
    for start in range(first, min(first + split_rows, M), BN):
        o_n = start + tl.arange(0, BN)
        m_n = o_n < M
        p_others = p_shifted + start + tl.arange(0, BN)
        if WHOLE:  # without masks, and with the same offsets in each tile: a fourth fewer instructions
            o_other = tl.arange(0, BN)[:, None] * BD + o_d[None, :]
            b_other = tl.load(p_features + tl.cast(start, tl.int64) * BD + o_other)  # [BN, BD]
            b_others = tl.load(p_others)
        else:
            o_other = o_n.to(tl.int64)[:, None] * D + o_d[None, :]
            b_other = tl.load(p_features + o_other, mask=m_n[:, None] & m_d[None, :], other=0.0)
            b_others = tl.load(p_others, mask=m_n, other=0.0)
        b_s = tl.dot(b_anchor, tl.trans(b_other))  # [BM, BN]
        b_w = tl.exp2(b_s * scale - shift) * (b_shifted[:, None] + b_others[None, :])  # both positive terms
        if shift == float("inf"):  # decided within the loop: of two loops in one kernel ptxas serializes products
            b_w = pushes(b_s, o_m, m_m, start, m_n, p_top, p_push, scale)
        if p_labels is not None:  # noqa: SIM114  # one is decided as it is compiled, the other as it runs
            b_w = pulled(b_w, o_m, m_m, o_n, m_n, p_labels, p_pull, M)
        elif is_special(p_labels, start - i_m * BM, M, BM, BN) | (start + BN > M):
            b_w = pulled(b_w, o_m, m_m, o_n, m_n, p_labels, p_pull, M)
        b_dz = tl.dot(b_w.to(b_other.dtype), b_other, acc=b_dz)
    b_dz *= unit * inverse_t
    tl.store(p_dz + i_split.to(tl.int64) * M * D + o_anchor, b_dz.to(p_dz.dtype.element_ty), mask=m_anchor)


@triton.jit
def sum_kernel(
    p_parts,  # [parts, M, D]: the parts' shares
    p_dz,  # [M, D] out: their sum
    size,  # M * D
    parts,
    BS: tl.constexpr,  # parts at a time
    BE: tl.constexpr,  # numbers of dz
):
    o_e = tl.program_id(0).to(tl.int64) * BE + tl.arange(0, BE)
    m_e = o_e < size
    b_sum = tl.zeros([BE], tl.float32)
    for start in range(0, parts, BS):
        o_s = start + tl.arange(0, BS)
        o_parts = o_s.to(tl.int64)[:, None] * size + o_e[None, :]  # [BS, BE]
        b_sum += tl.sum(tl.load(p_parts + o_parts, mask=(o_s < parts)[:, None] & m_e[None, :], other=0.0), 0)
    tl.store(p_dz + o_e, b_sum.to(p_dz.dtype.element_ty), mask=m_e)


@triton.jit
def weight_kernel(
    p_products,  # [rows, M]: s_ij of the anchors from `first` on
    p_weights,  # [rows, M] out: w_ij
    p_labels,  # [M] or None
    p_top,  # [M]
    p_push,  # [M]
    p_pull,  # [M]
    first,
    rows,
    M,
    scale,  # log2(e) / t
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    o_row = tl.program_id(0) * BM + tl.arange(0, BM)
    start = tl.program_id(1) * BN
    o_n = start + tl.arange(0, BN)
    m_m, m_n = o_row < rows, o_n < M
    o_m = first + o_row
    o_s = o_row.to(tl.int64)[:, None] * M + o_n[None, :]
    m_s = m_m[:, None] & m_n[None, :]
    b_s = tl.load(p_products + o_s, mask=m_s, other=0.0)  # [BM, BN]
    b_w = pushes(b_s, o_m, m_m, start, m_n, p_top, p_push, scale)
    b_w = pulled(b_w, o_m, m_m, o_n, m_n, p_labels, p_pull, M)
    tl.store(p_weights + o_s, b_w.to(p_weights.dtype.element_ty), mask=m_s)
