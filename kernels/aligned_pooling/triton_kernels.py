"""Aligned pooling in Triton.

An image's features are f_ep, channel e at position p, its maps m_cp. Over the channels e of group g, and with
c = c(g, k) for its map number k:

    n_cp = m_cp r_p,  r_p = 1 / max(|m_.p|, 1e-12)
    w_cp = exp(n_cp - 1) s_c,  s_c = 1 / sum_p exp(n_cp - 1)
    pooled_ke = sum_p w_cp f_ep

and backward, from gradients d.:

    df_ep = sum_k w_cp dpooled_ke,  dw_cp = sum_e dpooled_ke f_ep
    dn_cp = w_cp (dw_cp - sum_p w_cp dw_cp)
    dm_cp = r_p (dn_cp - n_cp sum_c n_cp dn_cp), the last sum left out where |m_.p| < 1e-12

`norm_kernel` and `sum_kernel` give r and s, which are saved. The three products over f and dpooled are matrix
products, a group of an image at a time, that make the weights anew from r and s as they load the maps. n is at
most 1, so the softmax needs no maximum. Any number of positions works: they are taken in tiles.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers, s_ stride. A tile has BV vectors
k, BE channels e and BP positions p; V vectors and E channels are of one group.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

EPSILON = tl.constexpr(1e-12)  # of torch.nn.functional.normalize
SHORT = tl.constexpr(9.99999e11)  # r_p above it: |m_.p| was below EPSILON
ROWS, COLUMNS = 32, 64  # of a tile where there is no matrix product


class AlignedPoolingConfig(NamedTuple):
    """The tile of a matrix product, by the names of its kernel's arguments."""

    BV: int
    BE: int
    BP: int
    num_warps: int
    num_stages: int = 3


class AlignedPoolingConfigs(NamedTuple):
    """The tiles of the three kernels with a matrix product."""

    pool: AlignedPoolingConfig
    features_grad: AlignedPoolingConfig
    weights_grad: AlignedPoolingConfig


def choose_configs(vectors: int, dtype: torch.dtype) -> AlignedPoolingConfigs:
    """Chooses tiles for this many vectors of a group; fp32's exact products need more registers.

    Two blocks run on one of sm_90's processors at a time: an image's few positions leave one little to overlap.
    """
    if dtype == torch.float32:
        tile = AlignedPoolingConfig(16, 64, 32, num_warps=4)
        return AlignedPoolingConfigs(tile, tile, tile)
    bv = min(64, max(16, triton.next_power_of_2(vectors)))
    return AlignedPoolingConfigs(
        # 16 positions are one instruction of the matrix unit, which then waits for no other of the same tile.
        pool=AlignedPoolingConfig(bv, 128, 16, num_warps=4),
        features_grad=AlignedPoolingConfig(bv, 128, 32, num_warps=8),
        weights_grad=AlignedPoolingConfig(bv, 128, 64, num_warps=8),
    )


@triton.jit
def norm_kernel(
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P] out: r
    d,
    P,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.program_id(1) * BP + tl.arange(0, BP)
    m_p = o_p < P
    b_square = tl.zeros([BC, BP], tl.float32)
    for start in range(0, d, BC):
        o_c = start + tl.arange(0, BC)
        mask = (o_c < d)[:, None] & m_p[None, :]
        b_m = tl.load(p_maps + (i_b * d + o_c[:, None]) * P + o_p[None, :], mask=mask, other=0.0).to(tl.float32)
        b_square += b_m * b_m
    b_norm = tl.sqrt(tl.sum(b_square, 0))
    b_norm = tl.where(b_norm < EPSILON, EPSILON, b_norm)  # NaN stays NaN
    tl.store(p_inverse_norms + i_b * P + o_p, 1.0 / b_norm, mask=m_p)


@triton.jit
def _normalized(p_maps, p_inverse_norms, i_b, o_c, o_p, d, P):
    """The normalized maps n_cp, [len(o_c), len(o_p)]; 0 outside of the maps."""
    m_p = o_p < P
    b_r = tl.load(p_inverse_norms + i_b * P + o_p, mask=m_p, other=0.0)
    mask = (o_c < d)[:, None] & m_p[None, :]
    b_m = tl.load(p_maps + (i_b * d + o_c[:, None]) * P + o_p[None, :], mask=mask, other=0.0)
    return b_m.to(tl.float32) * b_r[None, :]


@triton.jit
def sum_kernel(
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d]; out unless BACKWARD: s
    p_d_weights,  # [B, d, P]
    p_means,  # [B, d] out if BACKWARD: sum_p w_cp dw_cp
    d,
    P,
    BC: tl.constexpr,
    BP: tl.constexpr,
    BACKWARD: tl.constexpr,
):
    i_b = tl.program_id(0).to(tl.int64)
    o_c = tl.program_id(1) * BC + tl.arange(0, BC)
    m_c = o_c < d
    b_sum = tl.zeros([BC, BP], tl.float32)
    for start in range(0, P, BP):
        o_p = start + tl.arange(0, BP)
        mask = m_c[:, None] & (o_p < P)[None, :]
        b_e = tl.exp(_normalized(p_maps, p_inverse_norms, i_b, o_c, o_p, d, P) - 1)
        if BACKWARD:
            o_w = (i_b * d + o_c[:, None]) * P + o_p[None, :]
            b_e *= tl.load(p_d_weights + o_w, mask=mask, other=0.0)
        b_sum += tl.where(mask, b_e, 0.0)
    b_sum = tl.sum(b_sum, 1)
    o_out = i_b * d + o_c
    if BACKWARD:
        tl.store(p_means + o_out, b_sum * tl.load(p_inverse_sums + o_out, mask=m_c), mask=m_c)
    else:
        tl.store(p_inverse_sums + o_out, 1.0 / b_sum, mask=m_c)


@triton.jit
def _split(i, rows, columns, groups):
    """The image, the group, the tile of rows and the tile of columns of program i."""
    i_column, i = i % columns, i // columns
    i_row, i = i % rows, i // rows
    return (i // groups).to(tl.int64), i % groups, i_row, i_column


@triton.jit
def _maps_of(o_v, i_g, groups, V, d, INTERLEAVED: tl.constexpr):
    """The numbers of the maps of a group's vectors; beyond these d, which is past the last map."""
    return tl.where(o_v < V, o_v * groups + i_g if INTERLEAVED else i_g * V + o_v, d)


@triton.jit
def pool_kernel(
    p_features,  # [B, D, P], of any strides
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d]
    p_pooled,  # [B, V, D] out
    s_b,
    s_e,
    s_p,
    groups,
    d,
    V,
    E,
    P,
    INTERLEAVED: tl.constexpr,
    BV: tl.constexpr,
    BE: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, i_g, i_v, i_e = _split(tl.program_id(0), tl.cdiv(V, BV), tl.cdiv(E, BE), groups)
    o_v, o_e = i_v * BV + tl.arange(0, BV), i_e * BE + tl.arange(0, BE)
    o_c = _maps_of(o_v, i_g, groups, V, d, INTERLEAVED)
    o_channel = (i_g * E + o_e).to(tl.int64)
    b_acc = tl.zeros([BV, BE], tl.float32)
    for start in range(0, P, BP):
        o_p = start + tl.arange(0, BP)
        b_e = tl.exp(_normalized(p_maps, p_inverse_norms, i_b, o_c, o_p, d, P) - 1)  # [BV, BP]
        o_f = i_b * s_b + o_p.to(tl.int64)[:, None] * s_p + o_channel[None, :] * s_e  # [BP, BE]
        b_f = tl.load(p_features + o_f, mask=(o_p < P)[:, None] & (o_e < E)[None, :], other=0.0)
        b_acc = tl.dot(b_e.to(b_f.dtype), b_f, acc=b_acc, input_precision="ieee")
    b_acc *= tl.load(p_inverse_sums + i_b * d + o_c, mask=o_c < d, other=0.0)[:, None]
    o_out = (i_b * V + o_v[:, None]) * groups * E + o_channel[None, :]
    tl.store(p_pooled + o_out, b_acc, mask=(o_v < V)[:, None] & (o_e < E)[None, :])


@triton.jit
def features_grad_kernel(
    p_d_pooled,  # [B, V, D]
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d]
    p_d_features,  # [B, D, P] out, of any strides
    s_b,
    s_e,
    s_p,
    groups,
    d,
    V,
    E,
    P,
    INTERLEAVED: tl.constexpr,
    BV: tl.constexpr,
    BE: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, i_g, i_e, i_p = _split(tl.program_id(0), tl.cdiv(E, BE), tl.cdiv(P, BP), groups)
    o_e, o_p = i_e * BE + tl.arange(0, BE), i_p * BP + tl.arange(0, BP)
    o_channel = (i_g * E + o_e).to(tl.int64)
    b_acc = tl.zeros([BE, BP], tl.float32)
    for start in range(0, V, BV):
        o_v = start + tl.arange(0, BV)
        o_c = _maps_of(o_v, i_g, groups, V, d, INTERLEAVED)
        b_s = tl.load(p_inverse_sums + i_b * d + o_c, mask=o_c < d, other=0.0)
        b_w = tl.exp(_normalized(p_maps, p_inverse_norms, i_b, o_c, o_p, d, P) - 1) * b_s[:, None]  # [BV, BP]
        o_d = (i_b * V + o_v[None, :]) * groups * E + o_channel[:, None]  # [BE, BV]
        b_d = tl.load(p_d_pooled + o_d, mask=(o_e < E)[:, None] & (o_v < V)[None, :], other=0.0)
        b_acc = tl.dot(b_d, b_w.to(b_d.dtype), acc=b_acc, input_precision="ieee")
    o_out = i_b * s_b + o_channel[:, None] * s_e + o_p.to(tl.int64)[None, :] * s_p
    tl.store(p_d_features + o_out, b_acc, mask=(o_e < E)[:, None] & (o_p < P)[None, :])


@triton.jit
def weights_grad_kernel(
    p_d_pooled,  # [B, V, D]
    p_features,  # [B, D, P], of any strides
    p_d_weights,  # [B, d, P] out: dw
    s_b,
    s_e,
    s_p,
    groups,
    d,
    V,
    E,
    P,
    INTERLEAVED: tl.constexpr,
    BV: tl.constexpr,
    BE: tl.constexpr,
    BP: tl.constexpr,
):
    i_b, i_g, i_v, i_p = _split(tl.program_id(0), tl.cdiv(V, BV), tl.cdiv(P, BP), groups)
    o_v, o_p = i_v * BV + tl.arange(0, BV), i_p * BP + tl.arange(0, BP)
    o_c = _maps_of(o_v, i_g, groups, V, d, INTERLEAVED)
    b_acc = tl.zeros([BV, BP], tl.float32)
    for start in range(0, E, BE):
        o_e = start + tl.arange(0, BE)
        o_channel = (i_g * E + o_e).to(tl.int64)
        o_d = (i_b * V + o_v[:, None]) * groups * E + o_channel[None, :]  # [BV, BE]
        b_d = tl.load(p_d_pooled + o_d, mask=(o_v < V)[:, None] & (o_e < E)[None, :], other=0.0)
        o_f = i_b * s_b + o_channel[:, None] * s_e + o_p.to(tl.int64)[None, :] * s_p  # [BE, BP]
        b_f = tl.load(p_features + o_f, mask=(o_e < E)[:, None] & (o_p < P)[None, :], other=0.0)
        b_acc = tl.dot(b_d, b_f, acc=b_acc, input_precision="ieee")
    o_out = (i_b * d + o_c[:, None]) * P + o_p[None, :]
    tl.store(p_d_weights + o_out, b_acc, mask=(o_v < V)[:, None] & (o_p < P)[None, :])


@triton.jit
def maps_grad_kernel(
    p_maps,  # [B, d, P]
    p_inverse_norms,  # [B, P]
    p_inverse_sums,  # [B, d]
    p_d_weights,  # [B, d, P]
    p_means,  # [B, d]: sum_p w_cp dw_cp
    p_d_maps,  # [B, d, P] out
    d,
    P,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.program_id(1) * BP + tl.arange(0, BP)
    b_r = tl.load(p_inverse_norms + i_b * P + o_p, mask=o_p < P, other=0.0)
    b_projection = tl.zeros([BP], tl.float32)  # sum_c n_cp dn_cp, after the first of two passes over c
    for i_pass in tl.static_range(2):
        for start in range(0, d, BC):
            o_c = start + tl.arange(0, BC)
            m_c = o_c < d
            mask = m_c[:, None] & (o_p < P)[None, :]
            o_m = (i_b * d + o_c[:, None]) * P + o_p[None, :]
            b_n = _normalized(p_maps, p_inverse_norms, i_b, o_c, o_p, d, P)
            b_s = tl.load(p_inverse_sums + i_b * d + o_c, mask=m_c, other=0.0)
            b_mean = tl.load(p_means + i_b * d + o_c, mask=m_c, other=0.0)
            b_dw = tl.load(p_d_weights + o_m, mask=mask, other=0.0)
            b_dn = tl.exp(b_n - 1) * b_s[:, None] * (b_dw - b_mean[:, None])
            if i_pass == 0:
                b_projection += tl.sum(b_n * b_dn, 0)
            else:
                b_dm = b_r[None, :] * (b_dn - b_n * b_projection[None, :])
                tl.store(p_d_maps + o_m, b_dm, mask=mask)
        b_projection = tl.where(b_r > SHORT, 0.0, b_projection)


def aligned_pooling(
    features: Tensor, maps: Tensor, groups: int, interleaved: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes pooled features (B, d / groups, D), in the features' dtype, and r (B, P) and s (B, d) in fp32."""
    maps = maps.contiguous()
    (b, d, p), channels = maps.shape, features.shape[1]
    pooled = features.new_empty(b, d // groups, channels)
    inverse_norms = maps.new_empty((b, p), dtype=torch.float32)
    inverse_sums = maps.new_empty((b, d), dtype=torch.float32)
    if b == 0:
        return pooled, inverse_norms, inverse_sums
    shape = groups, d, d // groups, channels // groups, p
    c = choose_configs(d // groups, features.dtype).pool
    with torch.cuda.device_of(features):
        norm_kernel[(b, triton.cdiv(p, COLUMNS))](maps, inverse_norms, d, p, BC=ROWS, BP=COLUMNS, num_warps=4)
        sum_kernel[(b, triton.cdiv(d, ROWS))](
            maps, inverse_norms, inverse_sums, None, None, d, p,
            BC=ROWS, BP=COLUMNS, BACKWARD=False, num_warps=4,
        )  # fmt: skip
        tiles = triton.cdiv(d // groups, c.BV) * triton.cdiv(channels // groups, c.BE)
        pool_kernel[(b * groups * tiles,)](
            features, maps, inverse_norms, inverse_sums, pooled, *features.stride(), *shape,
            INTERLEAVED=interleaved, **c._asdict(),
        )  # fmt: skip
    return pooled, inverse_norms, inverse_sums


def aligned_pooling_backward(
    d_pooled: Tensor,
    features: Tensor,
    maps: Tensor,
    inverse_norms: Tensor,
    inverse_sums: Tensor,
    groups: int,
    interleaved: bool,
    need_features: bool,
    need_maps: bool,
) -> tuple[Tensor, Tensor]:
    """Computes the gradients to features, in their layout, and to maps; of no images where they are not needed."""
    d_pooled, maps = d_pooled.contiguous(), maps.contiguous()
    (b, d, p), channels = maps.shape, features.shape[1]
    if features.stride(1) == 1:  # channels_last
        d_features = features.new_empty(b if need_features else 0, p, channels).mT
    else:
        d_features = features.new_empty(b if need_features else 0, channels, p)
    d_maps = maps.new_empty(b if need_maps else 0, d, p)
    if b == 0:
        return d_features, d_maps
    shape = groups, d, d // groups, channels // groups, p
    configs = choose_configs(d // groups, features.dtype)
    with torch.cuda.device_of(features):
        if need_features:
            c = configs.features_grad
            tiles = triton.cdiv(channels // groups, c.BE) * triton.cdiv(p, c.BP)
            features_grad_kernel[(b * groups * tiles,)](
                d_pooled, maps, inverse_norms, inverse_sums, d_features, *d_features.stride(), *shape,
                INTERLEAVED=interleaved, **c._asdict(),
            )  # fmt: skip
        if need_maps:
            d_weights = torch.empty_like(maps, dtype=torch.float32)
            means = torch.empty_like(inverse_sums)
            c = configs.weights_grad
            tiles = triton.cdiv(d // groups, c.BV) * triton.cdiv(p, c.BP)
            weights_grad_kernel[(b * groups * tiles,)](
                d_pooled, features, d_weights, *features.stride(), *shape,
                INTERLEAVED=interleaved, **c._asdict(),
            )  # fmt: skip
            sum_kernel[(b, triton.cdiv(d, ROWS))](
                maps, inverse_norms, inverse_sums, d_weights, means, d, p,
                BC=ROWS, BP=COLUMNS, BACKWARD=True, num_warps=4,
            )  # fmt: skip
            maps_grad_kernel[(b, triton.cdiv(p, COLUMNS))](
                maps, inverse_norms, inverse_sums, d_weights, means, d_maps, d, p,
                BC=ROWS, BP=COLUMNS, num_warps=4,
            )  # fmt: skip
    return d_features, d_maps
