"""Sinkhorn-Knopp in Triton.

With t_k = max_b S_bk and c = log2(e)/eps, the codes after any number of iterations are a softmax over each row,

    Q_bk = 2^x_bk / sum_j 2^x_bj,  x_bk = c (S_bk - t_k) + f_k

which normalizes the rows whatever f is. To normalize the columns changes f alone:

    f_k = -log2 sum_b 2^(c (S_bk - t_k))  at first
    f_k <- f_k - log2 sum_b Q_bk          from then on

So a pass reads the scores once, and only the last one writes. `start_kernel` and `row_kernel` go through the rows
in parts and write each part's sums of the columns; `merge_kernel` adds the parts in a fixed order, so that results
are the same bits each time. A column of Q sums to at least 1 / (B K): nothing overflows. Rows too wide for
registers are read twice a pass: `wide_row_kernel` finds each row's maximum and sum, for `wide_column_kernel`.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BB, BK] are shapes.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.common.launch import LOG2_E, LOWEST, in_units, processors

MAX_RESIDENT_K = 8192  # wider rows spill
BP, BC = 128, 16  # parts and columns that `merge_kernel` adds at a time: few trips, work for every processor
WIDE_BK = 4096  # columns of a row that `wide_row_kernel` takes at a time
WIDE_BB, WIDE_BC = 16, 128  # rows and columns that `wide_column_kernel` takes at a time


class SinkhornKnoppConfig(NamedTuple):
    """The cut of rows that registers hold. BB: rows at a time; BK: columns, a power of two, at least K."""

    BB: int
    BK: int
    part_rows: int  # rows a part
    num_warps: int
    blocks: int  # on a processor at the same time
    maxnreg: int | None  # registers of a thread, so that as many blocks fit


def choose_config(shape: tuple[int, int], processors: int) -> SinkhornKnoppConfig:
    """Chooses the configuration for (B, K): rows that fit in registers, and work for every processor."""
    b, k = shape
    bk = triton.next_power_of_2(k)
    bb = max(1, min(8, 4096 // bk))
    num_warps, blocks, maxnreg = (8, 1, None) if bk > 4096 else (max(1, bb * bk // 512), 3, 80)
    part_rows = triton.cdiv(triton.cdiv(b, blocks * processors), bb) * bb
    return SinkhornKnoppConfig(bb, bk, part_rows, num_warps, blocks, maxnreg)


@triton.jit
def start_kernel(
    p_scores,  # [B, K]
    p_top,  # [parts, K] out: max_b S_bk over the part
    p_sum,  # [parts, K] out: sum_b 2^(c (S_bk - max))
    B,
    units,  # K = units * UNIT
    part_rows,
    scale,  # c
    BB: tl.constexpr,
    BK: tl.constexpr,
    UNIT: tl.constexpr,
):
    K = units * UNIT
    i_part = tl.program_id(0).to(tl.int64)
    o_k = tl.arange(0, BK)
    m_k = o_k < K
    b_top = tl.full([BK], LOWEST, tl.float32)
    b_sum = tl.zeros([BK], tl.float32)
    first = i_part * part_rows
    for start in range(first, min(first + part_rows, B), BB):
        o_b = start + tl.arange(0, BB)
        o_scores = o_b[:, None] * K + o_k[None, :]  # [BB, BK]
        m_scores = (o_b < B)[:, None] & m_k[None, :]
        b_s = tl.load(p_scores + o_scores, mask=m_scores, other=float("-inf")).to(tl.float32)
        b_bad = tl.max((b_s < float("inf")).to(tl.int32) ^ 1, 1)  # [BB], of NaN and infinity
        b_s = tl.where((b_bad == 0)[:, None], b_s, float("-inf"))
        b_new_top = tl.maximum(b_top, tl.max(b_s, 0))
        b_powers = tl.exp2((b_s - b_new_top[None, :]) * scale)
        b_sum = b_sum * tl.exp2((b_top - b_new_top) * scale) + tl.sum(b_powers, 0)
        b_top = b_new_top
    tl.store(p_top + i_part * K + o_k, b_top, mask=m_k)
    tl.store(p_sum + i_part * K + o_k, b_sum, mask=m_k)


@triton.jit
def row_kernel(
    p_scores,  # [B, K]
    p_t,  # [K]
    p_f,  # [K]
    p_sum,  # [parts, K] out, unless LAST: sum_b Q_bk over the part
    p_codes,  # [B, K] out, if LAST: Q
    B,
    units,  # K = units * UNIT
    part_rows,
    scale,  # c
    BB: tl.constexpr,
    BK: tl.constexpr,
    LAST: tl.constexpr,
    UNIT: tl.constexpr,
):
    K = units * UNIT
    i_part = tl.program_id(0).to(tl.int64)
    o_k = tl.arange(0, BK)
    m_k = o_k < K
    b_t = tl.load(p_t + o_k, mask=m_k, other=0.0)
    b_f = tl.load(p_f + o_k, mask=m_k, other=0.0)
    b_sum = tl.zeros([BK], tl.float32)
    first = i_part * part_rows
    for start in range(first, min(first + part_rows, B), BB):
        o_b = start + tl.arange(0, BB)
        o_scores = o_b[:, None] * K + o_k[None, :]  # [BB, BK]
        m_scores = (o_b < B)[:, None] & m_k[None, :]
        b_s = tl.load(p_scores + o_scores, mask=m_scores, other=float("-inf")).to(tl.float32)
        b_x = (b_s - b_t[None, :]) * scale + b_f[None, :]
        b_powers = tl.exp2(b_x - tl.max(b_x, 1)[:, None])
        b_q = b_powers / tl.sum(b_powers, 1)[:, None]  # NaN in rows without codes
        if LAST:
            tl.store(p_codes + o_scores, b_q, mask=m_scores)
        else:
            b_sum += tl.sum(tl.where(b_q == b_q, b_q, 0.0), 0)
    if not LAST:
        tl.store(p_sum + i_part * K + o_k, b_sum, mask=m_k)


@triton.jit
def merge_kernel(
    p_top,  # [parts, K], if START
    p_sum,  # [parts, K]
    p_t,  # [K] out, if START
    p_f,  # [K] out; in, unless START
    units,  # K = units * UNIT
    parts,
    scale,  # c
    BP: tl.constexpr,
    BC: tl.constexpr,
    START: tl.constexpr,
    UNIT: tl.constexpr,
):
    K = units * UNIT
    o_k = tl.program_id(0) * BC + tl.arange(0, BC)
    m_k = o_k < K
    b_top = tl.full([BC], LOWEST, tl.float32)
    b_sum = tl.zeros([BC], tl.float32)
    for start in range(0, parts, BP):
        o_part = start + tl.arange(0, BP)
        o_parts = o_part.to(tl.int64)[:, None] * K + o_k[None, :]  # [BP, BC]
        m_parts = (o_part < parts)[:, None] & m_k[None, :]
        b_sums = tl.load(p_sum + o_parts, mask=m_parts, other=0.0)
        if START:
            b_tops = tl.load(p_top + o_parts, mask=m_parts, other=LOWEST)
            b_new_top = tl.maximum(b_top, tl.max(b_tops, 0))
            b_sums *= tl.exp2((b_tops - b_new_top[None, :]) * scale)
            b_sum *= tl.exp2((b_top - b_new_top) * scale)
            b_top = b_new_top
        b_sum += tl.sum(b_sums, 0)
    b_f = -tl.log2(tl.where(b_sum > 0, b_sum, 1.0))  # nothing is in an empty column, whatever its scale
    if START:
        tl.store(p_t + o_k, b_top, mask=m_k)
    else:
        b_f += tl.load(p_f + o_k, mask=m_k, other=0.0)
    tl.store(p_f + o_k, b_f, mask=m_k)


@triton.jit
def wide_row_kernel(
    p_scores,  # [B, K]
    p_t,  # [K]
    p_f,  # [K]
    p_rows,  # [B, 2] out, unless LAST: top = max_k x_bk, and 1 / sum_k 2^(x_bk - top), NaN in rows without codes
    p_codes,  # [B, K] out, if LAST: Q
    units,  # K = units * UNIT
    scale,  # c
    BK: tl.constexpr,
    LAST: tl.constexpr,
    UNIT: tl.constexpr,
):
    K = units * UNIT
    i_b = tl.program_id(0).to(tl.int64)
    top = tl.full([], LOWEST, tl.float32)
    z = tl.zeros([], tl.float32)
    for start in range(0, K, BK):
        o_k = start + tl.arange(0, BK)
        m_k = o_k < K
        b_s = tl.load(p_scores + i_b * K + o_k, mask=m_k, other=float("-inf")).to(tl.float32)  # [BK]
        b_t = tl.load(p_t + o_k, mask=m_k, other=0.0)
        b_x = (b_s - b_t) * scale + tl.load(p_f + o_k, mask=m_k, other=0.0)
        new_top = tl.maximum(top, tl.max(b_x, 0))
        z = z * tl.exp2(top - new_top) + tl.sum(tl.exp2(b_x - new_top), 0)
        top = new_top
    factor = tl.where(z > 0, 1 / z, float("nan"))
    if LAST:
        for start in range(0, K, BK):
            o_k = start + tl.arange(0, BK)
            m_k = o_k < K
            b_s = tl.load(p_scores + i_b * K + o_k, mask=m_k, other=0.0).to(tl.float32)
            b_t = tl.load(p_t + o_k, mask=m_k, other=0.0)
            b_x = (b_s - b_t) * scale + tl.load(p_f + o_k, mask=m_k, other=0.0)
            tl.store(p_codes + i_b * K + o_k, tl.exp2(b_x - top) * factor, mask=m_k)
    else:
        tl.store(p_rows + i_b * 2, top)
        tl.store(p_rows + (i_b * 2 + 1), factor)


@triton.jit
def wide_column_kernel(
    p_scores,  # [B, K]
    p_t,  # [K]
    p_f,  # [K]
    p_rows,  # [B, 2]
    p_top,  # [parts, K] out, if START: max_b S_bk over the part
    p_sum,  # [parts, K] out: sum_b 2^(c (S_bk - max)) if START, else sum_b Q_bk
    B,
    units,  # K = units * UNIT
    part_rows,
    scale,  # c
    BB: tl.constexpr,
    BC: tl.constexpr,
    START: tl.constexpr,
    UNIT: tl.constexpr,
):
    K = units * UNIT
    i_part = tl.program_id(1).to(tl.int64)
    o_k = tl.program_id(0) * BC + tl.arange(0, BC)
    m_k = o_k < K
    b_t = tl.load(p_t + o_k, mask=m_k, other=0.0)
    b_f = tl.load(p_f + o_k, mask=m_k, other=0.0)
    b_top = tl.full([BC], LOWEST, tl.float32)
    b_sum = tl.zeros([BC], tl.float32)
    first = i_part * part_rows
    for start in range(first, min(first + part_rows, B), BB):
        o_b = start + tl.arange(0, BB)
        o_scores = o_b[:, None] * K + o_k[None, :]  # [BB, BC]
        m_scores = (o_b < B)[:, None] & m_k[None, :]
        b_s = tl.load(p_scores + o_scores, mask=m_scores, other=float("-inf")).to(tl.float32)
        b_row_top = tl.load(p_rows + o_b * 2, mask=o_b < B, other=0.0)
        b_factor = tl.load(p_rows + (o_b * 2 + 1), mask=o_b < B, other=float("nan"))
        m_codes = (b_factor == b_factor)[:, None]
        if START:
            b_s = tl.where(m_codes, b_s, float("-inf"))
            b_new_top = tl.maximum(b_top, tl.max(b_s, 0))
            b_powers = tl.exp2((b_s - b_new_top[None, :]) * scale)
            b_sum = b_sum * tl.exp2((b_top - b_new_top) * scale) + tl.sum(b_powers, 0)
            b_top = b_new_top
        else:
            b_x = (b_s - b_t[None, :]) * scale + b_f[None, :]
            b_q = tl.exp2(b_x - b_row_top[:, None]) * b_factor[:, None]
            b_sum += tl.sum(tl.where(m_codes, b_q, 0.0), 0)
    if START:
        tl.store(p_top + i_part * K + o_k, b_top, mask=m_k)
    tl.store(p_sum + i_part * K + o_k, b_sum, mask=m_k)


def sinkhorn_knopp(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Computes codes (B, K), fp32."""
    scores = scores.contiguous()
    codes = torch.empty_like(scores, dtype=torch.float32)
    if len(scores):
        run = _resident if scores.shape[1] <= MAX_RESIDENT_K else _wide
        with torch.cuda.device_of(scores):
            run(scores, codes, LOG2_E / epsilon, iterations)
    return codes


def _resident(scores: Tensor, codes: Tensor, scale: float, iterations: int) -> None:
    b, k = scores.shape
    c = choose_config((b, k), processors(scores))
    columns = _Columns(k, triton.cdiv(b, c.part_rows), scale, scores)
    units, unit = in_units(k)
    grid = (columns.parts,)
    tile = {"BB": c.BB, "BK": c.BK, "UNIT": unit, "num_warps": c.num_warps, "maxnreg": c.maxnreg}
    start_kernel[grid](scores, columns.tops, columns.sums, b, units, c.part_rows, scale, **tile)
    columns.merge(start=True)
    for iteration in range(1, iterations + 1):
        last = iteration == iterations
        row_kernel[grid](
            scores, columns.t, columns.f, columns.sums, codes, b, units, c.part_rows, scale, LAST=last, **tile
        )
        if not last:
            columns.merge(start=False)


def _wide(scores: Tensor, codes: Tensor, scale: float, iterations: int) -> None:
    b, k = scores.shape
    units, unit = in_units(k)
    tiles = triton.cdiv(k, WIDE_BC)
    wanted = triton.cdiv(8 * processors(scores), tiles)  # parts, for work for every processor
    part_rows = triton.cdiv(triton.cdiv(b, wanted), WIDE_BB) * WIDE_BB
    columns = _Columns(k, triton.cdiv(b, part_rows), scale, scores)
    columns.t.zero_()
    columns.f.zero_()
    rows = scores.new_empty((b, 2), dtype=torch.float32)
    for iteration in range(iterations + 1):  # 0, where t = f = 0, finds out which rows have codes
        start, last = iteration == 0, iteration == iterations
        wide_row_kernel[(b,)](
            scores, columns.t, columns.f, rows, codes, units, scale, BK=WIDE_BK, LAST=last, UNIT=unit, num_warps=8
        )
        if not last:
            wide_column_kernel[(tiles, columns.parts)](
                scores, columns.t, columns.f, rows, columns.tops, columns.sums, b, units, part_rows, scale,
                BB=WIDE_BB, BC=WIDE_BC, START=start, UNIT=unit, num_warps=4,
            )  # fmt: skip
            columns.merge(start)


class _Columns:
    """The columns' numbers: tops and sums [parts, K] of the pass under way, and t and f [K]."""

    def __init__(self, k: int, parts: int, scale: float, like: Tensor) -> None:
        self.parts, self.scale = parts, scale
        self.tops, self.sums = like.new_empty((2, parts, k), dtype=torch.float32)
        self.t, self.f = like.new_empty((2, k), dtype=torch.float32)

    def merge(self, start: bool) -> None:
        units, unit = in_units(len(self.t))
        merge_kernel[(triton.cdiv(len(self.t), BC),)](
            self.tops, self.sums, self.t, self.f, units, self.parts, self.scale,
            BP=BP, BC=BC, START=start, UNIT=unit, num_warps=4,
        )  # fmt: skip
