"""Aligned pooling in Triton: the kernels, which triton_launch.py runs.

An image's features are f_ep, channel e at position p, its maps m_cp. Over the channels e of group g, and with
c = c(g, k) for its map number k:

    n_cp = m_cp r_p,  r_p = 1 / max(|m_.p|, 1e-12)
    w_cp = exp(n_cp - 1) s_c,  s_c = 1 / sum_p exp(n_cp - 1)
    pooled_ke = sum_p w_cp f_ep

and backward, from gradients d.:

    df_ep = sum_k w_cp dpooled_ke,  dw_cp = sum_e dpooled_ke f_ep
    dn_cp = w_cp (dw_cp - sum_p w_cp dw_cp)
    dm_cp = r_p (dn_cp - n_cp sum_c n_cp dn_cp), the last sum left out where |m_.p| < 1e-12

r and s are saved; the weights are made anew from them wherever maps are loaded. n is at most 1, so the softmax
needs no maximum. The three products over f and dpooled are matrix products, a group of an image at a time. Any
number of positions works: they are taken in tiles.

An image's offsets are in 32 bits: triton_launch.py sees to it.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers, s_ stride. A tile has BV vectors
k, BE channels e and BP positions p; V vectors and E channels are of one group. Positions come first in blocks of
maps and features, [BP, BV] and [BP, BE]. Features and maps may have either layout; dw has the maps' strides.
"""

import math

import triton
import triton.language as tl

EPSILON = tl.constexpr(1e-12)  # of torch.nn.functional.normalize
SHORT = tl.constexpr(9.99999e11)  # r_p above it: |m_.p| was below EPSILON
LOG2_E = tl.constexpr(math.log2(math.e))


@triton.jit
def norm_kernel(
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P] out: r
    s_mb,
    s_mc,
    s_mp,
    P,
    d: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, _, _, i_p = _split(tl.program_id(0), 1, tl.cdiv(P, BP), 1)
    o_p, o_c = i_p * BP + tl.arange(0, BP), tl.arange(0, BC)
    p_m, o_m = p_maps + i_b * s_mb, _offsets(o_p, s_mp, o_c, s_mc)
    b_square = tl.zeros([BP, BC], tl.float32)
    for start in range(0, d, BC):
        b_m = tl.load(p_m + o_m, mask=(o_p < P)[:, None] & (start + o_c < d)[None, :], other=0.0).to(tl.float32)
        b_square += b_m * b_m
        p_m += BC * s_mc
    b_norm = tl.sqrt(tl.sum(b_square, 1))
    b_norm = tl.where(b_norm < EPSILON, EPSILON, b_norm)  # NaN stays NaN
    tl.store(p_inverse_norms + i_b * P + o_p, 1.0 / b_norm, mask=o_p < P)


@triton.jit
def _offsets(o_rows, s_rows, o_columns, s_columns):
    """Returns the offsets of a tile, [rows, columns], in 32 bits, in which an image's are."""
    return o_rows[:, None] * s_rows + o_columns[None, :] * s_columns


@triton.jit
def _exponentials(p_m, p_r, m_p, m_c):
    """Computes exp(n - 1), [BP, BV], from pointers to m and r; exp(-1) outside of the maps."""
    b_m = tl.load(p_m, mask=m_p[:, None] & m_c[None, :], other=0.0).to(tl.float32)
    b_r = tl.load(p_r, mask=m_p, other=0.0) * LOG2_E
    return tl.exp2(b_m * b_r[:, None] - LOG2_E)


@triton.jit
def _weights(p_m, p_r, p_s, m_p, m_c):
    """Computes w, [BP, BV], from pointers to m, r and s; 0 for vectors outside of the maps."""
    b_s = tl.load(p_s, mask=m_c, other=0.0)
    return _exponentials(p_m, p_r, m_p, m_c) * b_s[None, :]


@triton.jit
def _split(i, rows, columns, groups):
    """Returns the image, the group, the tile of rows and the tile of columns of program i.

    Grids are of one dimension: the others end at 65535.
    """
    i_column, i = i % columns, i // columns
    i_row, i = i % rows, i // rows
    return (i // groups).to(tl.int64), i % groups, i_row, i_column


@triton.jit
def _maps_of(o_v, i_g, groups, V, INTERLEAVED: tl.constexpr):
    """Returns the numbers of the maps of a group's vectors."""
    return o_v * groups + i_g if INTERLEAVED else i_g * V + o_v


@triton.jit
def pool_kernel(
    p_features,  # [B, D, P]
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d] out: s
    p_pooled,  # [B, V, D] out
    s_fb,
    s_fe,
    s_fp,
    s_mb,
    s_mc,
    s_mp,
    groups,
    V,
    E,
    P,
    INTERLEAVED: tl.constexpr,
    BV: tl.constexpr,
    BE: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, i_g, i_v, i_e = _split(tl.program_id(0), tl.cdiv(V, BV), tl.cdiv(E, BE), groups)
    o_v, o_e, o_p = i_v * BV + tl.arange(0, BV), i_e * BE + tl.arange(0, BE), tl.arange(0, BP)
    m_v, m_e = o_v < V, o_e < E
    o_c = _maps_of(o_v, i_g, groups, V, INTERLEAVED)
    p_m, o_m = p_maps + i_b * s_mb, _offsets(o_p, s_mp, o_c, s_mc)
    p_f, o_f = p_features + i_b * s_fb, _offsets(o_p, s_fp, i_g * E + o_e, s_fe)
    p_r = p_inverse_norms + i_b * P
    b_sum = tl.zeros([BP, BV], tl.float32)
    b_acc = tl.zeros([BV, BE], tl.float32)
    for start in range(0, P, BP):
        m_p = start + o_p < P
        b_e = _exponentials(p_m + o_m, p_r + o_p, m_p, m_v)
        b_f = tl.load(p_f + o_f, mask=m_p[:, None] & m_e[None, :], other=0.0)
        b_acc = tl.dot(tl.trans(b_e.to(b_f.dtype)), b_f, acc=b_acc, input_precision="ieee")
        b_sum += tl.where(m_p[:, None], b_e, 0.0)
        p_m += BP * s_mp
        p_f += BP * s_fp
        p_r += BP
    b_s = 1.0 / tl.sum(b_sum, 0)
    if i_e == 0:
        tl.store(p_inverse_sums + i_b * V * groups + o_c, b_s, mask=m_v)
    p_out = p_pooled + i_b * V * groups * E
    tl.store(
        p_out + _offsets(o_v, groups * E, i_g * E + o_e, 1), b_acc * b_s[:, None], mask=m_v[:, None] & m_e[None, :]
    )


@triton.jit
def features_grad_kernel(
    p_d_pooled,  # [B, V, D]
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d]
    p_d_features,  # [B, D, P] out
    s_mb,
    s_mc,
    s_mp,
    s_db,
    s_de,
    s_dp,
    groups,
    V,
    E,
    P,
    INTERLEAVED: tl.constexpr,
    BV: tl.constexpr,
    BE: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, i_g, i_p, i_e = _split(tl.program_id(0), tl.cdiv(P, BP), tl.cdiv(E, BE), groups)
    o_v, o_e, o_p = tl.arange(0, BV), i_e * BE + tl.arange(0, BE), i_p * BP + tl.arange(0, BP)
    m_e, m_p = o_e < E, o_p < P
    o_c = _maps_of(o_v, i_g, groups, V, INTERLEAVED)
    p_m, o_m = p_maps + i_b * s_mb, _offsets(o_p, s_mp, o_c, s_mc)
    p_d, o_d = p_d_pooled + i_b * V * groups * E, _offsets(o_v, groups * E, i_g * E + o_e, 1)
    p_r, p_s = p_inverse_norms + i_b * P + o_p, p_inverse_sums + i_b * V * groups + o_c
    step = BV * groups if INTERLEAVED else BV
    b_acc = tl.zeros([BP, BE], tl.float32)
    for start in range(0, V, BV):
        m_v = start + o_v < V
        b_w = _weights(p_m + o_m, p_r, p_s, m_p, m_v)
        b_d = tl.load(p_d + o_d, mask=m_v[:, None] & m_e[None, :], other=0.0)  # [BV, BE]
        b_acc = tl.dot(b_w.to(b_d.dtype), b_d, acc=b_acc, input_precision="ieee")
        p_m += step * s_mc
        p_s += step
        p_d += BV * groups * E
    p_out = p_d_features + i_b * s_db + _offsets(o_p, s_dp, i_g * E + o_e, s_de)
    tl.store(p_out, b_acc, mask=m_p[:, None] & m_e[None, :])


@triton.jit
def weights_grad_kernel(
    p_d_pooled,  # [B, V, D]
    p_features,  # [B, D, P]
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d]
    p_d_weights,  # [B, d, P] out: dw
    p_means,  # [B, tiles of P, d] out: sum_p w_cp dw_cp over a tile's positions
    p_d_features,  # [B, D, P] out, with FEATURES: then BV is at least V
    s_fb,
    s_fe,
    s_fp,
    s_mb,
    s_mc,
    s_mp,
    s_db,
    s_de,
    s_dp,
    groups,
    V,
    E,
    P,
    FEATURES: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    BV: tl.constexpr,
    BE: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, i_g, i_v, i_p = _split(tl.program_id(0), tl.cdiv(V, BV), tl.cdiv(P, BP), groups)
    o_v, o_e, o_p = i_v * BV + tl.arange(0, BV), tl.arange(0, BE), i_p * BP + tl.arange(0, BP)
    m_v, m_p = o_v < V, o_p < P
    o_c = _maps_of(o_v, i_g, groups, V, INTERLEAVED)
    p_m, o_m = p_maps + i_b * s_mb, _offsets(o_p, s_mp, o_c, s_mc)
    p_r, p_s = p_inverse_norms + i_b * P + o_p, p_inverse_sums + i_b * V * groups + o_c
    if FEATURES:
        b_w = _weights(p_m + o_m, p_r, p_s, m_p, m_v).to(p_d_pooled.dtype.element_ty)
    p_d, o_d = p_d_pooled + i_b * V * groups * E, _offsets(o_v, groups * E, i_g * E + o_e, 1)
    p_f, o_f = p_features + i_b * s_fb, _offsets(o_p, s_fp, i_g * E + o_e, s_fe)
    p_df, o_df = p_d_features + i_b * s_db, _offsets(o_p, s_dp, i_g * E + o_e, s_de)
    b_dw = tl.zeros([BV, BP], tl.float32)
    for start in range(0, E, BE):
        m_e = start + o_e < E
        b_d = tl.load(p_d + o_d, mask=m_v[:, None] & m_e[None, :], other=0.0)  # [BV, BE]
        b_f = tl.load(p_f + o_f, mask=m_p[:, None] & m_e[None, :], other=0.0)
        b_dw = tl.dot(b_d, tl.trans(b_f), acc=b_dw, input_precision="ieee")
        if FEATURES:
            b_df = tl.dot(b_w, b_d, input_precision="ieee")
            tl.store(p_df + o_df, b_df, mask=m_p[:, None] & m_e[None, :])
            p_df += BE * s_de
        p_d += BE
        p_f += BE * s_fe
    b_dw = tl.where(m_p[None, :], b_dw, 0.0)
    tl.store(p_d_weights + i_b * s_mb + tl.trans(o_m), b_dw, mask=m_v[:, None] & m_p[None, :])
    # In fp32 the weights are made late, or again, to leave the loop its registers.
    b_wdw = tl.trans(_weights(p_m + o_m, p_r, p_s, m_p, m_v)) * b_dw
    b_mean = tl.sum(b_wdw, 1)
    tl.store(p_means + (i_b * tl.cdiv(P, BP) + i_p) * V * groups + o_c, b_mean, mask=m_v)


@triton.jit
def maps_grad_kernel(
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d]
    p_d_weights,  # [B, d, P]
    p_means,  # [B, tiles, d]: parts of sum_p w_cp dw_cp
    p_d_maps,  # [B, d, P] out, contiguous
    s_mb,
    s_mc,
    s_mp,
    P,
    d: tl.constexpr,  # as tiles: loops of one trip fall away, and what the second pass would make again
    tiles: tl.constexpr,
    BT: tl.constexpr,  # tiles at a time
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, _, _, i_p = _split(tl.program_id(0), 1, tl.cdiv(P, BP), 1)
    o_p = i_p * BP + tl.arange(0, BP)
    m_p = o_p < P
    b_r = tl.load(p_inverse_norms + i_b * P + o_p, mask=m_p, other=0.0)
    b_projection = tl.zeros([BP], tl.float32)  # sum_c n_cp dn_cp, after the first of two passes over c
    for i_pass in tl.static_range(2):
        for start in range(0, d, BC):
            o_c = start + tl.arange(0, BC)
            m_c = o_c < d
            mask = m_p[:, None] & m_c[None, :]
            o_m = i_b * s_mb + _offsets(o_p, s_mp, o_c, s_mc)
            b_n = tl.load(p_maps + o_m, mask=mask, other=0.0).to(tl.float32) * b_r[:, None]
            b_s = tl.load(p_inverse_sums + i_b * d + o_c, mask=m_c, other=0.0)
            b_dw = tl.load(p_d_weights + o_m, mask=mask, other=0.0)
            b_mean = tl.zeros([BC], tl.float32)
            for first in range(0, tiles, BT):
                o_t = first + tl.arange(0, BT)
                p_parts = p_means + (i_b * tiles + o_t[:, None]) * d + o_c[None, :]
                b_mean += tl.sum(tl.load(p_parts, mask=(o_t < tiles)[:, None] & m_c[None, :], other=0.0), 0)
            b_dn = tl.exp2((b_n - 1) * LOG2_E) * b_s[None, :] * (b_dw - b_mean[None, :])
            if i_pass == 0:
                b_projection += tl.sum(b_n * b_dn, 1)
            else:
                b_dm = b_r[:, None] * (b_dn - b_n * b_projection[:, None])
                tl.store(p_d_maps + i_b * d * P + _offsets(o_p, 1, o_c, P), b_dm, mask=mask)
        b_projection = tl.where(b_r > SHORT, 0.0, b_projection)
