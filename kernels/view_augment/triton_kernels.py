"""Augmented views in Triton.

A program makes some rows of a sample's view, BR x BW pixels, from the image's levels to the stored result, with
all three channels in registers. A small view is one program, and one launch. For a larger one, `crop_kernel` first
stores the pixels as they are before contrast is adjusted, which pivots on the mean of their grays, and sums these;
and what is to be blurred down the columns needs the rows of other programs, so `column_kernel` finishes it.

A blur exchanges pixels through memory: a program stores its rows, waits for all its threads, and reads them back
at each distance within the window.

A row, or a box, may lie outside of what it counts in, for the host has not looked at either. Such a sample is not
read, and its view is NaN.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BR, BW] are shapes.
"""

from typing import NamedTuple

import triton
import triton.language as tl

from sslfast.kernels.view_augment.draw import Draw
from sslfast.kernels.view_augment.triton_pixels import (
    SIGMA,
    before_contrast,
    blur,
    finish,
    from_contrast,
    in_view,
    is_readable,
    load_planes,
    store_planes,
    sum_of_gray,
)

COLUMNS = tl.constexpr(len(Draw))


class ViewAugmentConfig(NamedTuple):
    """The cut of a view into programs: BR rows of up to BW pixels each; powers of two."""

    BR: int
    BW: int
    num_warps: int
    maxnreg: int | None  # registers a thread of `view_kernel`, the only one that is short of them


def choose_config(size: int) -> ViewAugmentConfig:
    """Chooses the configuration for views of (size, size)."""
    width = triton.next_power_of_2(size)
    if size <= 64:
        return ViewAugmentConfig(width, width, num_warps=max(1, width**2 // 256), maxnreg=None)
    # Left to itself, the assembler takes 64 registers for some architectures, and keeps some scalars on the stack.
    return ViewAugmentConfig(max(1, 1024 // width), width, num_warps=8, maxnreg=80)


@triton.jit
def crop_kernel(
    p_images,  # [N, H, W, 3]
    p_draws,  # [B, COLUMNS]
    p_rows,  # [B] int64
    p_sums,  # [B, blocks] out
    p_planes,  # [B, 3, S, S] fp32 out
    N,
    H,
    W,
    S,
    HAS_ROWS: tl.constexpr,
    CROP: tl.constexpr,
    BR: tl.constexpr,
    BW: tl.constexpr,
):
    i_b, i_r = tl.program_id(0).to(tl.int64), tl.program_id(1)
    p_draw = p_draws + i_b * COLUMNS
    image = tl.load(p_rows + i_b) if HAS_ROWS else i_b
    if ~is_readable(p_draw, image, N, H, W, CROP):
        return
    o_y, o_x = i_r * BR + tl.arange(0, BR), tl.arange(0, BW)
    b_red, b_green, b_blue = before_contrast(p_images + image * H * W * 3, p_draw, W, S, o_y, o_x, CROP)
    tl.store(p_sums + i_b * tl.num_programs(1) + i_r, sum_of_gray(b_red, b_green, b_blue, o_y, o_x, S))
    p_sample = p_planes + i_b * 3 * S * S
    store_planes(p_sample, b_red, b_green, b_blue, o_y[:, None], o_x[None, :], S, in_view(o_y, o_x, S))


@triton.jit
def view_kernel(
    p_images,  # [N, H, W, 3]
    p_draws,  # [B, COLUMNS]
    p_rows,  # [B] int64
    p_sums,  # [B, blocks]: crop_kernel's, where there are several
    p_planes,  # [B, 3, S, S] fp32: where there are several blocks, crop_kernel's, and out for column_kernel
    p_out,  # [B, S, S, 3] out
    N,
    H,
    W,
    S,
    RADIUS,  # of the blur's window
    mean,
    inverse_std,
    HAS_ROWS: tl.constexpr,
    CROP: tl.constexpr,
    BR: tl.constexpr,
    BW: tl.constexpr,
    BLOCKS: tl.constexpr,  # of rows, rounded up to a power of two
):
    i_b, i_r = tl.program_id(0).to(tl.int64), tl.program_id(1)
    p_draw = p_draws + i_b * COLUMNS
    image = tl.load(p_rows + i_b) if HAS_ROWS else i_b
    o_y, o_x = i_r * BR + tl.arange(0, BR), tl.arange(0, BW)
    o_row, o_column = o_y[:, None], o_x[None, :]
    m = in_view(o_y, o_x, S)
    p_sample = p_planes + i_b * 3 * S * S
    if ~is_readable(p_draw, image, N, H, W, CROP):
        b_nan = tl.full([BR, BW], float("nan"), tl.float32)
        store_planes(p_sample, b_nan, b_nan, b_nan, o_row, o_column, S, m)
        finish(p_out, b_nan, b_nan, b_nan, p_draw, i_b, o_y, o_x, S, mean, inverse_std, m)
        return
    if BLOCKS == 1:
        b_red, b_green, b_blue = before_contrast(p_images + image * H * W * 3, p_draw, W, S, o_y, o_x, CROP)
        gray_sum = sum_of_gray(b_red, b_green, b_blue, o_y, o_x, S)
    else:
        b_red, b_green, b_blue = load_planes(p_sample, o_row, o_column, S, m)
        o_r = tl.arange(0, BLOCKS)
        m_r = o_r < tl.num_programs(1)
        gray_sum = tl.sum(tl.load(p_sums + i_b * tl.num_programs(1) + o_r, mask=m_r, other=0.0))
    b_red, b_green, b_blue = from_contrast(b_red, b_green, b_blue, p_draw, gray_sum / (S * S))

    sigma = tl.load(p_draw + SIGMA)
    if sigma > 0:
        store_planes(p_sample, b_red, b_green, b_blue, o_row, o_column, S, m)
        tl.debug_barrier()
        b_red, b_green, b_blue = blur(p_sample, o_column, 1, o_row * S, S, sigma, RADIUS, m)
        tl.debug_barrier()
        store_planes(p_sample, b_red, b_green, b_blue, o_row, o_column, S, m)
        if BLOCKS == 1:
            tl.debug_barrier()
            b_red, b_green, b_blue = blur(p_sample, o_row, S, o_column, S, sigma, RADIUS, m)
    if BLOCKS == 1 or sigma <= 0:
        finish(p_out, b_red, b_green, b_blue, p_draw, i_b, o_y, o_x, S, mean, inverse_std, m)


@triton.jit
def column_kernel(
    p_draws,  # [B, COLUMNS]
    p_planes,  # [B, 3, S, S]
    p_out,  # [B, S, S, 3] out, of samples that are blurred
    S,
    RADIUS,
    mean,
    inverse_std,
    BR: tl.constexpr,
    BW: tl.constexpr,
):
    i_b, i_r = tl.program_id(0).to(tl.int64), tl.program_id(1)
    p_draw = p_draws + i_b * COLUMNS
    sigma = tl.load(p_draw + SIGMA)
    if sigma > 0:
        o_y, o_x = i_r * BR + tl.arange(0, BR), tl.arange(0, BW)
        m = in_view(o_y, o_x, S)
        p_sample = p_planes + i_b * 3 * S * S
        b_red, b_green, b_blue = blur(p_sample, o_y[:, None], S, o_x[None, :], S, sigma, RADIUS, m)
        finish(p_out, b_red, b_green, b_blue, p_draw, i_b, o_y, o_x, S, mean, inverse_std, m)
