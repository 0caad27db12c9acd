"""The draws of a view, sampled on the GPU.

The numbers are those of `random/philox.py` and the rules those of `reference.py`, in fp64 as there and without
fused multiply-adds, so that the draws are equal, bit for bit. One function may round otherwise on a GPU, in the
last of 53 bits: the exponential of a crop's ratio. It shows only where a side is as close to half a pixel.

Names: o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BB, BT] are shapes: samples, tries at a crop.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from sslfast.config import ViewConfig
from sslfast.data.draws import reference
from sslfast.kernels.view_augment import Draw
from sslfast.random.triton_kernels import uniform


class Rule(IntEnum):
    """The places where the numbers of `rules` start."""

    SCALE = 0  # this and the other ranges: least, most
    LOG_RATIO = 2
    FLIP = 4  # this and the other events: probability
    JITTER = 5
    FACTORS = 6  # ranges of brightness, contrast, saturation, hue
    GRAYSCALE = 14
    BLUR = 15
    SIGMA = 16
    SOLARIZE = 18


class Side(IntEnum):
    """The columns of `sides`, in pixels."""

    HEIGHT = 0  # of the part of the image that the view is cropped from
    WIDTH = 1
    CENTRAL_HEIGHT = 2  # of the crop that is taken where no try fits
    CENTRAL_WIDTH = 3
    TOP = 4  # of that part
    LEFT = 5


def rules(view: ViewConfig) -> list[float]:
    """Lists the ranges and probabilities of a view, as `Rule` numbers them."""
    return [
        *view.scale,
        *np.log(view.ratio).tolist(),
        *(view.flip, view.jitter),
        *reference.factor_range(view.brightness),
        *reference.factor_range(view.contrast),
        *reference.factor_range(view.saturation),
        *(-view.hue, view.hue),
        *(view.grayscale, view.blur),
        *view.blur_sigma,
        view.solarize,
    ]


def sides(view: ViewConfig, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Computes the sides of images of sizes (N, 2), as a view crops them: (N, 6), as `Side` numbers them."""
    top, left, height, width = reference.view_regions(view, sizes[:, 0], sizes[:, 1]).T
    central = reference.central_crop(height, width, view.ratio)
    return np.stack((height, width, *central, top, left), axis=1).astype(np.float64)


def sample_view(rules: Tensor, sides: Tensor, seed: int, view_number: int, epoch: int, indices: Tensor) -> Tensor:
    """Samples the draws of one view, as a table: `reference.sample_view` on the GPU.

    Args:
        rules: fp64 (19,), of `rules`.
        sides: fp64 (B, 6), of `sides`, or (1, 6) where the images are of one size.
        seed: the run's seed.
        view_number: which of the sample's views.
        epoch: the epoch.
        indices: int64 (B,), positions of the samples in the data set.

    Returns:
        fp32 (B, 14), as `view_augment` takes them.
    """
    b = len(indices)
    table = torch.empty((b, len(Draw)), device=indices.device)
    stream = view_number * reference.STREAMS_PER_VIEW
    with torch.cuda.device_of(indices):
        sample_kernel[(triton.cdiv(b, 32),)](
            *(indices, rules, sides, table, b, 0 if len(sides) == 1 else len(Side), seed, epoch, stream),
            BB=32,
            BT=16,
            num_warps=4,
            enable_fp_fusion=False,
        )
    return table


R_SCALE, R_LOG_RATIO, R_FLIP, R_JITTER, R_FACTORS, R_GRAYSCALE, R_BLUR, R_SIGMA, R_SOLARIZE = map(
    tl.constexpr, map(int, Rule)
)
S_HEIGHT, S_WIDTH, S_CENTRAL_HEIGHT, S_CENTRAL_WIDTH, S_TOP, S_LEFT = map(tl.constexpr, map(int, Side))
(
    D_TOP,
    D_LEFT,
    D_HEIGHT,
    D_WIDTH,
    D_FLIP,
    D_JITTER,
    D_FACTORS,
    _,
    _,
    _,
    D_ORDER,
    D_GRAYSCALE,
    D_SIGMA,
    D_SOLARIZE,
) = map(tl.constexpr, map(int, Draw))
COLUMNS, TRIES = tl.constexpr(len(Draw)), tl.constexpr(reference.CROP_TRIES)
CROP, FLIP, JITTER, GRAYSCALE, BLUR, SOLARIZE = map(
    tl.constexpr,
    (reference.CROP, reference.FLIP, reference.JITTER, reference.GRAYSCALE, reference.BLUR, reference.SOLARIZE),
)
ROUND = tl.constexpr(1.5 * 2**52)  # added to a double, rounds it to an integer, halves to even


@triton.jit
def between(b_number, p_range):
    low, high = tl.load(p_range), tl.load(p_range + 1)
    return low + (high - low) * b_number


@triton.jit
def order_digits(b_number):
    """Finds permutation number floor(24 b_number) of 0..3 in lexicographic order, as o0 + 4 o1 + 16 o2 + 64 o3."""
    order = (b_number * 24).to(tl.int32)
    first = order // 6
    second = order % 6 // 2
    second += (second >= first).to(tl.int32)  # of those that are left
    third = order % 2
    third += (third >= tl.minimum(first, second)).to(tl.int32)
    third += (third >= tl.maximum(first, second)).to(tl.int32)
    return first + 4 * second + 16 * third + 64 * (6 - first - second - third)


@triton.jit
def placed(b_number, b_any_fits, b_length, b_extent):
    """Computes the crop's start along one axis: uniform, or central where no try fitted."""
    free = b_length - b_extent
    return tl.floor(tl.where(b_any_fits, b_number * (free + 1), free / 2))


@triton.jit
def store(p_column, b_x, m):
    tl.store(p_column, b_x.to(tl.float32), mask=m)


@triton.jit(do_not_specialize=["B", "side_stride", "seed", "epoch", "stream"])
def sample_kernel(
    p_indices,  # [B] int64
    p_rules,  # [19] fp64
    p_sides,  # [B or 1, 6] fp64
    p_draws,  # [B, COLUMNS] out
    B,
    side_stride,  # 0: images of one size
    seed,
    epoch,
    stream,  # the first of the view's
    BB: tl.constexpr,
    BT: tl.constexpr,  # >= TRIES
):
    o_b = tl.program_id(0).to(tl.int64) * BB + tl.arange(0, BB)
    m = o_b < B
    o_index = tl.load(p_indices + o_b, mask=m, other=0).to(tl.uint32)
    epoch, stream = epoch.to(tl.uint32), stream.to(tl.uint32)
    p_row = p_draws + o_b * COLUMNS
    o_0 = tl.zeros_like(o_b).to(tl.int32)  # the stream's first number, of each sample

    p_side = p_sides + o_b * side_stride
    b_image_height = tl.load(p_side + S_HEIGHT, mask=m, other=1.0)  # [BB], of the part that is cropped
    b_image_width = tl.load(p_side + S_WIDTH, mask=m, other=1.0)
    o_try = tl.arange(0, BT)[None, :]
    b_scale = between(uniform(seed, epoch, o_index[:, None], stream + CROP, o_try), p_rules + R_SCALE)  # [BB, BT]
    b_area = (b_image_height * b_image_width)[:, None] * b_scale
    b_log_ratio = uniform(seed, epoch, o_index[:, None], stream + CROP, o_try + TRIES)
    b_ratio = tl.exp(between(b_log_ratio, p_rules + R_LOG_RATIO))
    b_widths = (tl.sqrt(b_area * b_ratio) + ROUND) - ROUND
    b_heights = (tl.sqrt(b_area / b_ratio) + ROUND) - ROUND
    b_fits = (b_widths > 0) & (b_widths <= b_image_width[:, None])
    b_fits = b_fits & (b_heights > 0) & (b_heights <= b_image_height[:, None])
    b_first = tl.min(tl.where(b_fits & (o_try < TRIES), o_try, BT), 1)  # [BB]
    b_any_fits = b_first < BT
    b_taken = o_try == b_first[:, None]
    b_height = tl.sum(tl.where(b_taken, b_heights, 0.0), 1)
    b_width = tl.sum(tl.where(b_taken, b_widths, 0.0), 1)
    b_height = tl.where(b_any_fits, b_height, tl.load(p_side + S_CENTRAL_HEIGHT, mask=m, other=1.0))
    b_width = tl.where(b_any_fits, b_width, tl.load(p_side + S_CENTRAL_WIDTH, mask=m, other=1.0))
    b_top = uniform(seed, epoch, o_index, stream + CROP, o_0 + 2 * TRIES)
    b_left = uniform(seed, epoch, o_index, stream + CROP, o_0 + (2 * TRIES + 1))
    b_top = placed(b_top, b_any_fits, b_image_height, b_height) + tl.load(p_side + S_TOP, mask=m, other=0.0)
    b_left = placed(b_left, b_any_fits, b_image_width, b_width) + tl.load(p_side + S_LEFT, mask=m, other=0.0)
    store(p_row + D_TOP, b_top, m)
    store(p_row + D_LEFT, b_left, m)
    store(p_row + D_HEIGHT, b_height, m)
    store(p_row + D_WIDTH, b_width, m)
    store(p_row + D_FLIP, uniform(seed, epoch, o_index, stream + FLIP, o_0) < tl.load(p_rules + R_FLIP), m)

    b_jitter = uniform(seed, epoch, o_index, stream + JITTER, o_0)
    store(p_row + D_JITTER, b_jitter < tl.load(p_rules + R_JITTER), m)
    for i in tl.static_range(4):
        b_factor = uniform(seed, epoch, o_index, stream + JITTER, o_0 + (1 + i))
        store(p_row + D_FACTORS + i, between(b_factor, p_rules + R_FACTORS + 2 * i), m)
    store(p_row + D_ORDER, order_digits(uniform(seed, epoch, o_index, stream + JITTER, o_0 + 5)), m)

    b_grayscale = uniform(seed, epoch, o_index, stream + GRAYSCALE, o_0)
    store(p_row + D_GRAYSCALE, b_grayscale < tl.load(p_rules + R_GRAYSCALE), m)
    b_blur = uniform(seed, epoch, o_index, stream + BLUR, o_0) < tl.load(p_rules + R_BLUR)
    b_sigma = between(uniform(seed, epoch, o_index, stream + BLUR, o_0 + 1), p_rules + R_SIGMA)
    store(p_row + D_SIGMA, tl.where(b_blur, b_sigma, 0.0), m)
    b_solarize = uniform(seed, epoch, o_index, stream + SOLARIZE, o_0)
    store(p_row + D_SOLARIZE, b_solarize < tl.load(p_rules + R_SOLARIZE), m)
