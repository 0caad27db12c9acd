"""The draws of views and the order of an epoch, computed on the GPU by Philox 4x32-10.

The numbers, and the rules that make draws of them, are those of sslfast/data/random.py and sslfast/data/draws.py,
in fp64 as there and without fused multiply-adds: whole numbers are equal, and a box could differ only where a GPU's
exponential rounds the other way than the host's, in the last of 53 bits, and that decides a rounding to pixels.

Names: o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BB, BT] are shapes: samples, tries at a crop.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.view_augment.draw import Draw

COLUMNS = tl.constexpr(len(Draw))
TRIES = tl.constexpr(10)  # at a crop
CROP, FLIP, JITTER, GRAYSCALE, BLUR, SOLARIZE = map(tl.constexpr, range(6))  # streams of a view
ROUND = tl.constexpr(1.5 * 2**52)  # added to a double, rounds it to an integer, halves to even
UNIT = tl.constexpr(2.0**-32)


@triton.jit
def uniform(seed, epoch, o_index, stream, o_number):
    """Number `o_number` of the stream, in [0, 1), fp64: word o_number % 4 of the block o_number // 4."""
    word0, word1, word2, word3 = tl.philox(seed, o_index, epoch, stream, (o_number // 4).to(tl.uint32))
    o_word = o_number % 4
    word = tl.where(o_word < 2, tl.where(o_word == 0, word0, word1), tl.where(o_word == 2, word2, word3))
    return word.to(tl.float64) * UNIT


@triton.jit
def between(b_number, p_rule):
    """Into the range that the rule and the next one are the ends of."""
    low, high = tl.load(p_rule), tl.load(p_rule + 1)
    return low + (high - low) * b_number


@triton.jit
def order_digits(b_number):
    """A permutation of 0..3, number floor(24 b_number) in lexicographic order, as o0 + 4 o1 + 16 o2 + 64 o3."""
    rank = (b_number * 24).to(tl.int32)
    first = rank // 6
    second = rank % 6 // 2
    second += (second >= first).to(tl.int32)  # of those that are left
    third = rank % 2
    third += (third >= tl.minimum(first, second)).to(tl.int32)
    third += (third >= tl.maximum(first, second)).to(tl.int32)
    return first + 4 * second + 16 * third + 64 * (6 - first - second - third)


@triton.jit
def placed(b_number, b_found, length, b_extent):
    """The crop's start along one axis: uniform, or central where no try fitted."""
    free = length - b_extent
    return tl.floor(tl.where(b_found, b_number * (free + 1), free / 2))


@triton.jit(do_not_specialize=["B", "seed", "epoch", "stream"])
def draw_kernel(
    p_indices,  # [B] int64
    p_rules,  # [23] fp64: Rules
    p_draws,  # [B, COLUMNS] out
    B,
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
    p_own = p_draws + o_b * COLUMNS
    o_zero = tl.zeros_like(o_b).to(tl.int32)

    image_height, image_width = tl.load(p_rules), tl.load(p_rules + 1)
    o_try = tl.arange(0, BT)[None, :]
    b_area = between(uniform(seed, epoch, o_index[:, None], stream + CROP, o_try), p_rules + 2)  # [BB, BT]
    b_area = image_height * image_width * b_area
    b_aspect = tl.exp(between(uniform(seed, epoch, o_index[:, None], stream + CROP, TRIES + o_try), p_rules + 4))
    b_widths = (tl.sqrt(b_area * b_aspect) + ROUND) - ROUND
    b_heights = (tl.sqrt(b_area / b_aspect) + ROUND) - ROUND
    b_fits = (b_widths > 0) & (b_widths <= image_width) & (b_heights > 0) & (b_heights <= image_height)
    b_first = tl.min(tl.where(b_fits & (o_try < TRIES), o_try, BT), 1)  # [BB]
    b_found = b_first < BT
    b_taken = o_try == b_first[:, None]
    b_height = tl.where(b_found, tl.sum(tl.where(b_taken, b_heights, 0.0), 1), tl.load(p_rules + 6))
    b_width = tl.where(b_found, tl.sum(tl.where(b_taken, b_widths, 0.0), 1), tl.load(p_rules + 7))
    b_top = uniform(seed, epoch, o_index, stream + CROP, o_zero + 2 * TRIES)
    b_left = uniform(seed, epoch, o_index, stream + CROP, o_zero + (2 * TRIES + 1))
    tl.store(p_own, placed(b_top, b_found, image_height, b_height).to(tl.float32), mask=m)
    tl.store(p_own + 1, placed(b_left, b_found, image_width, b_width).to(tl.float32), mask=m)
    tl.store(p_own + 2, b_height.to(tl.float32), mask=m)
    tl.store(p_own + 3, b_width.to(tl.float32), mask=m)

    b_flip = uniform(seed, epoch, o_index, stream + FLIP, o_zero) < tl.load(p_rules + 8)
    tl.store(p_own + 4, b_flip.to(tl.float32), mask=m)
    b_jitter = uniform(seed, epoch, o_index, stream + JITTER, o_zero) < tl.load(p_rules + 9)
    tl.store(p_own + 5, b_jitter.to(tl.float32), mask=m)
    for i in tl.static_range(4):  # brightness, contrast, saturation, hue
        b_factor = between(uniform(seed, epoch, o_index, stream + JITTER, o_zero + (i + 1)), p_rules + 10 + 2 * i)
        tl.store(p_own + 6 + i, b_factor.to(tl.float32), mask=m)
    b_order = order_digits(uniform(seed, epoch, o_index, stream + JITTER, o_zero + 5))
    tl.store(p_own + 10, b_order.to(tl.float32), mask=m)
    b_gray = uniform(seed, epoch, o_index, stream + GRAYSCALE, o_zero) < tl.load(p_rules + 18)
    tl.store(p_own + 11, b_gray.to(tl.float32), mask=m)
    b_blur = uniform(seed, epoch, o_index, stream + BLUR, o_zero) < tl.load(p_rules + 19)
    b_sigma = between(uniform(seed, epoch, o_index, stream + BLUR, o_zero + 1), p_rules + 20)
    tl.store(p_own + 12, tl.where(b_blur, b_sigma, 0.0).to(tl.float32), mask=m)
    b_solarize = uniform(seed, epoch, o_index, stream + SOLARIZE, o_zero) < tl.load(p_rules + 22)
    tl.store(p_own + 13, b_solarize.to(tl.float32), mask=m)


@triton.jit(do_not_specialize=["N", "seed", "epoch", "stream"])
def key_kernel(
    p_keys,  # [N] int64 out
    N,
    seed,
    epoch,
    stream,
    BN: tl.constexpr,
):
    o_n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    zero = tl.zeros((BN,), tl.uint32)
    high, low, _, _ = tl.philox(seed, o_n.to(tl.uint32), epoch.to(tl.uint32), stream.to(tl.uint32), zero)
    # As signed numbers, with the top bit turned over, the keys are in the order that they are in as unsigned ones.
    keys = ((high ^ 0x80000000).to(tl.uint64) << 32) | low.to(tl.uint64)
    tl.store(p_keys + o_n, keys.to(tl.int64, bitcast=True), mask=o_n < N)


def draw_views(indices: Tensor, rules: Tensor, seed: int, epoch: int, stream: int) -> Tensor:
    """One view's draws, fp32 (B, len(Draw)), of samples with these indices, int64 (B,).

    `rules` is fp64 (23,): the images' height and width; the ends of the crop's share of the area, and of the
    logarithm of its ratio; height and width of the central crop; the probabilities of flip and jitter; the ends of
    brightness, contrast, saturation and hue; the probabilities of grayscale and blur; the ends of sigma; the
    probability of solarisation.
    """
    b = len(indices)
    draws = torch.empty((b, len(Draw)), device=indices.device)
    if b:
        with torch.cuda.device_of(indices):
            draw_kernel[(triton.cdiv(b, 32),)](
                indices, rules, draws, b, seed, epoch, stream, BB=32, BT=16, num_warps=4, enable_fp_fusion=False
            )
    return draws


def permutation(n: int, seed: int, epoch: int, stream: int, device: torch.device) -> Tensor:
    """The order of an epoch, int64 (n,): sorted by 64-bit random keys."""
    keys = torch.empty(n, dtype=torch.int64, device=device)
    with torch.cuda.device_of(keys):
        key_kernel[(triton.cdiv(n, 1024),)](keys, n, seed, epoch, stream, BN=1024, num_warps=4)
    return keys.argsort(stable=True)
