"""Augmented views in Triton.

A program makes a tile of a sample's view, BT x BT pixels, from the image's levels to the stored result, with all
three channels in registers. A small view is one tile, and one launch. Of a larger one, `gray_kernel` first sums the
grays of each tile as they are before contrast is adjusted, which pivots on their mean.

The Gaussian blur is M @ x @ M^T with matrices made in registers: a tile that is blurred computes the BI x BI pixels
that its windows reach, and is one product from either side.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BT, BT] are shapes.
"""

from typing import NamedTuple

import triton
import triton.language as tl

from sslfast.kernels.view_augment import draw
from sslfast.kernels.view_augment.draw import Draw
from sslfast.kernels.view_augment.reference import SOLARIZE_FROM, blur_window

COLUMNS = tl.constexpr(len(Draw))
TOP, LEFT, HEIGHT, WIDTH, FLIP, JITTER, FACTOR, _, _, SHIFT, ORDER, GRAYSCALE, SIGMA, SOLARIZE = map(
    tl.constexpr, map(int, Draw)
)
BRIGHTNESS, CONTRAST, SATURATION, HUE = map(
    tl.constexpr, (draw.BRIGHTNESS, draw.CONTRAST, draw.SATURATION, draw.HUE)
)
THRESHOLD = tl.constexpr(SOLARIZE_FROM)


class Config(NamedTuple):
    """How a view is cut up: tiles of BT x BT pixels, made of BI x BI where they are blurred; powers of two."""

    BT: int
    BI: int
    num_warps: int


def config(size: int) -> Config:
    """The configuration for views of (size, size)."""
    if size <= 64:
        side = max(16, triton.next_power_of_2(size))
        return Config(side, side, num_warps=side // 8)
    reach = blur_window(size) - 1
    tile = 32 if reach <= 32 else 16
    return Config(tile, triton.next_power_of_2(tile + reach), num_warps=8)


@triton.jit
def gray(b_red, b_green, b_blue):
    """ITU-R 601 luma, with torchvision's digits."""
    return 0.2989 * b_red + 0.587 * b_green + 0.114 * b_blue


@triton.jit
def clamp(b_x):
    return tl.minimum(tl.maximum(b_x, 0.0), 1.0)


@triton.jit
def triangle(o_tap, first, extent, centre, half_width):
    """The weights [B] of pixel first + o_tap of a crop of `extent` pixels; see reference._interpolation."""
    pixel = first + o_tap
    weight = tl.maximum(1 - tl.abs(pixel + 0.5 - centre) / half_width, 0.0)
    return tl.where(pixel < extent, weight, 0.0)


@triton.jit
def crop_resize(p_image, p_draw, W, o_y, o_x, S):
    """Levels [B, B] of a view's pixels at rows o_y and columns o_x."""
    top, left = tl.load(p_draw + TOP).to(tl.int64), tl.load(p_draw + LEFT).to(tl.int64)
    height, width = tl.load(p_draw + HEIGHT), tl.load(p_draw + WIDTH)
    y_scale, x_scale = height / S, width / S
    y_half, x_half = tl.maximum(y_scale, 1.0), tl.maximum(x_scale, 1.0)
    y_centre = (o_y + 0.5) * y_scale
    x_centre = (tl.where(tl.load(p_draw + FLIP) != 0, S - 1 - o_x, o_x) + 0.5) * x_scale
    y_first = tl.maximum(tl.floor(y_centre - y_half + 0.5), 0.0)
    x_first = tl.maximum(tl.floor(x_centre - x_half + 0.5), 0.0)
    b_red = tl.zeros((o_y.shape[0], o_x.shape[0]), tl.float32)
    b_green = tl.zeros((o_y.shape[0], o_x.shape[0]), tl.float32)
    b_blue = tl.zeros((o_y.shape[0], o_x.shape[0]), tl.float32)
    y_total = tl.zeros_like(y_centre)
    x_total = tl.zeros_like(x_centre)
    for x_tap in range(tl.ceil(2 * x_half).to(tl.int32)):
        x_total += triangle(x_tap, x_first, width, x_centre, x_half)
    for y_tap in range(tl.ceil(2 * y_half).to(tl.int32)):
        y_weight = triangle(y_tap, y_first, height, y_centre, y_half)
        y_total += y_weight
        p_row = p_image + 3 * ((top + (y_first + y_tap).to(tl.int64)) * W + left)  # [B]
        for x_tap in range(tl.ceil(2 * x_half).to(tl.int32)):
            b_weight = y_weight[:, None] * triangle(x_tap, x_first, width, x_centre, x_half)[None, :]
            p_pixel = p_row[:, None] + 3 * (x_first + x_tap).to(tl.int32)[None, :]  # [B, B]
            m = b_weight > 0
            b_red += b_weight * tl.load(p_pixel, mask=m, other=0)
            b_green += b_weight * tl.load(p_pixel + 1, mask=m, other=0)
            b_blue += b_weight * tl.load(p_pixel + 2, mask=m, other=0)
    b_total = tl.maximum(y_total[:, None] * x_total[None, :], 1e-12)  # 0: not of the view
    return b_red / b_total, b_green / b_total, b_blue / b_total


@triton.jit
def hue_channel(b_value, b_chroma, b_k):
    b_k -= 6 * tl.floor(b_k * (1 / 6))
    return b_value - b_chroma * clamp(tl.minimum(b_k, 4 - b_k))


@triton.jit
def color_jitter(b_red, b_green, b_blue, p_draw, first, last, mean):
    """The sample's operations number `first` up to, but not, `last`; mean: gray, for contrast. See the reference."""
    order = tl.load(p_draw + ORDER).to(tl.int32)
    for step in range(first, last):
        operation = (order >> (2 * step)) & 3
        if operation == HUE:
            b_value = tl.maximum(tl.maximum(b_red, b_green), b_blue)
            b_chroma = b_value - tl.minimum(tl.minimum(b_red, b_green), b_blue)
            b_hue = tl.where(
                b_value == b_red,
                b_green - b_blue,
                tl.where(
                    b_value == b_green, b_blue - b_red + 2 * b_chroma, b_red - b_green + 4 * b_chroma
                ),
            )
            b_hue = b_hue / tl.maximum(b_chroma, 1e-12) + 6 * tl.load(p_draw + SHIFT)
            b_red = hue_channel(b_value, b_chroma, b_hue + 5)
            b_green = hue_channel(b_value, b_chroma, b_hue + 3)
            b_blue = hue_channel(b_value, b_chroma, b_hue + 1)
        else:
            factor = tl.load(p_draw + FACTOR + operation)
            pivot = tl.where(operation == CONTRAST, mean, 0.0)
            b_pivot = tl.where(operation == SATURATION, gray(b_red, b_green, b_blue), pivot)
            b_red = clamp(factor * b_red + (1 - factor) * b_pivot)
            b_green = clamp(factor * b_green + (1 - factor) * b_pivot)
            b_blue = clamp(factor * b_blue + (1 - factor) * b_pivot)
    return b_red, b_green, b_blue


@triton.jit
def contrast_step(p_draw):
    """Which of the four operations is contrast."""
    order = tl.load(p_draw + ORDER).to(tl.int32)
    step = 0
    for i in tl.static_range(1, 4):
        step = tl.where((order >> (2 * i)) & 3 == CONTRAST, i, step)
    return step


@triton.jit
def before_contrast(p_image, p_draw, W, S, o_y, o_x, CROP: tl.constexpr):
    """A view's pixels [B, B] at rows o_y and columns o_x, jittered up to contrast."""
    if CROP:
        b_red, b_green, b_blue = crop_resize(p_image, p_draw, W, o_y, o_x, S)
    else:
        m = (o_y < S)[:, None] & (o_x < S)[None, :]
        p_pixel = (p_image + 3 * o_y.to(tl.int64) * S)[:, None] + 3 * o_x[None, :]
        b_red = tl.load(p_pixel, mask=m, other=0).to(tl.float32)
        b_green = tl.load(p_pixel + 1, mask=m, other=0).to(tl.float32)
        b_blue = tl.load(p_pixel + 2, mask=m, other=0).to(tl.float32)
    b_red, b_green, b_blue = b_red * (1 / 255), b_green * (1 / 255), b_blue * (1 / 255)
    if tl.load(p_draw + JITTER) != 0:
        b_red, b_green, b_blue = color_jitter(b_red, b_green, b_blue, p_draw, 0, contrast_step(p_draw), 0.0)
    return b_red, b_green, b_blue


@triton.jit
def sum_of_gray(b_red, b_green, b_blue, o_y, o_x, S):
    m = (o_y < S)[:, None] & (o_x < S)[None, :]
    return tl.sum(tl.where(m, gray(b_red, b_green, b_blue), 0.0))


@triton.jit
def from_contrast(b_red, b_green, b_blue, p_draw, mean):
    """The rest of the jitter, and grayscale."""
    if tl.load(p_draw + JITTER) != 0:
        b_red, b_green, b_blue = color_jitter(b_red, b_green, b_blue, p_draw, contrast_step(p_draw), 4, mean)
    if tl.load(p_draw + GRAYSCALE) != 0:
        b_red = gray(b_red, b_green, b_blue)
        b_green = b_red
        b_blue = b_red
    return b_red, b_green, b_blue


@triton.jit
def bell(o_distance, sigma, RADIUS):
    b_z = o_distance / sigma
    return tl.where(tl.abs(o_distance) <= RADIUS, tl.exp(-0.5 * b_z * b_z), 0.0)


@triton.jit
def window(o_i, o_j, sigma, S, RADIUS):
    """g(j - i), and folded back what of it lies outside of the image: broadcasts i and j; see the reference."""
    folded = tl.where(o_j > 0, bell(-o_j - o_i, sigma, RADIUS), 0.0)
    folded += tl.where(o_j < S - 1, bell(2 * (S - 1) - o_j - o_i, sigma, RADIUS), 0.0)
    return tl.where(o_j < S, bell(o_j - o_i, sigma, RADIUS) + folded, 0.0)


@triton.jit
def normalized(b_matrix, AXIS: tl.constexpr):
    return b_matrix / tl.maximum(tl.expand_dims(tl.sum(b_matrix, AXIS), AXIS), 1e-12)  # 0: of no pixel of the view


@triton.jit
def gaussian_blur(b_x, b_rows, b_columns):
    """[BT, BI] @ [BI, BI] @ [BI, BT]"""
    return tl.dot(tl.dot(b_rows, b_x, input_precision="ieee"), b_columns, input_precision="ieee")


@triton.jit
def store_channel(p_out, b_x, p_draw, mean, inverse_std, m):
    if tl.load(p_draw + SOLARIZE) != 0:
        b_x = tl.where(b_x >= THRESHOLD, 1 - b_x, b_x)
    tl.store(p_out, ((b_x - mean) * inverse_std).to(p_out.dtype.element_ty), mask=m)


@triton.jit
def sample(p_images, p_draws, p_rows, H, W, HAS_ROWS: tl.constexpr):
    """This program's sample: pointers to its image and its draw."""
    i_b = tl.program_id(0).to(tl.int64)
    image = tl.load(p_rows + i_b) if HAS_ROWS else i_b
    return p_images + image * H * W * 3, p_draws + i_b * COLUMNS


@triton.jit
def tile(S, BT: tl.constexpr):
    """This program's rows [BT] and columns [BT] of the view."""
    tiles = tl.cdiv(S, BT)
    i_y, i_x = tl.program_id(1) // tiles, tl.program_id(1) % tiles
    return i_y * BT + tl.arange(0, BT), i_x * BT + tl.arange(0, BT)


@triton.jit
def gray_kernel(
    p_images,  # [N, H, W, 3]
    p_draws,  # [B, COLUMNS]
    p_rows,  # [B] int64
    p_sums,  # [B, tiles] out, of samples that are jittered
    H,
    W,
    S,
    HAS_ROWS: tl.constexpr,
    CROP: tl.constexpr,
    BT: tl.constexpr,
):
    p_image, p_draw = sample(p_images, p_draws, p_rows, H, W, HAS_ROWS)
    if tl.load(p_draw + JITTER) == 0:
        return
    o_y, o_x = tile(S, BT)
    b_red, b_green, b_blue = before_contrast(p_image, p_draw, W, S, o_y, o_x, CROP)
    position = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    tl.store(p_sums + position, sum_of_gray(b_red, b_green, b_blue, o_y, o_x, S))


@triton.jit
def view_kernel(
    p_images,  # [N, H, W, 3]
    p_draws,  # [B, COLUMNS]
    p_rows,  # [B] int64
    p_sums,  # [B, tiles], where there are several
    p_out,  # [B, S, S, 3] out
    H,
    W,
    S,
    RADIUS,  # of the blur's window
    mean_red,
    mean_green,
    mean_blue,
    inverse_std_red,
    inverse_std_green,
    inverse_std_blue,
    HAS_ROWS: tl.constexpr,
    CROP: tl.constexpr,
    BT: tl.constexpr,
    BI: tl.constexpr,  # = BT: the tile is the whole view
    TILES: tl.constexpr,  # in all, rounded up to a power of two
):
    p_image, p_draw = sample(p_images, p_draws, p_rows, H, W, HAS_ROWS)
    o_y, o_x = tile(S, BT)
    sigma = tl.load(p_draw + SIGMA)
    if BI == BT:
        b_red, b_green, b_blue = before_contrast(p_image, p_draw, W, S, o_y, o_x, CROP)
        mean = sum_of_gray(b_red, b_green, b_blue, o_y, o_x, S) / (S * S)
        b_red, b_green, b_blue = from_contrast(b_red, b_green, b_blue, p_draw, mean)
        if sigma > 0:
            b_rows = normalized(window(o_y[:, None], o_x[None, :], sigma, S, RADIUS), 1)
            b_columns = normalized(window(o_x[None, :], o_y[:, None], sigma, S, RADIUS), 0)
            b_red = gaussian_blur(b_red, b_rows, b_columns)
            b_green = gaussian_blur(b_green, b_rows, b_columns)
            b_blue = gaussian_blur(b_blue, b_rows, b_columns)
    else:
        mean = 0.0
        if tl.load(p_draw + JITTER) != 0:
            o_t = tl.arange(0, TILES)
            p_own = p_sums + tl.program_id(0).to(tl.int64) * tl.num_programs(1) + o_t
            mean = tl.sum(tl.load(p_own, mask=o_t < tl.num_programs(1), other=0.0)) / (S * S)
        if sigma > 0:
            o_in_y = tl.maximum(tl.min(o_y) - RADIUS, 0) + tl.arange(0, BI)
            o_in_x = tl.maximum(tl.min(o_x) - RADIUS, 0) + tl.arange(0, BI)
            b_red, b_green, b_blue = before_contrast(p_image, p_draw, W, S, o_in_y, o_in_x, CROP)
            b_red, b_green, b_blue = from_contrast(b_red, b_green, b_blue, p_draw, mean)
            b_rows = normalized(window(o_y[:, None], o_in_y[None, :], sigma, S, RADIUS), 1)
            b_columns = normalized(window(o_x[None, :], o_in_x[:, None], sigma, S, RADIUS), 0)
            b_red = gaussian_blur(b_red, b_rows, b_columns)
            b_green = gaussian_blur(b_green, b_rows, b_columns)
            b_blue = gaussian_blur(b_blue, b_rows, b_columns)
        else:
            b_red, b_green, b_blue = before_contrast(p_image, p_draw, W, S, o_y, o_x, CROP)
            b_red, b_green, b_blue = from_contrast(b_red, b_green, b_blue, p_draw, mean)
    i_b = tl.program_id(0).to(tl.int64)
    p_pixel = (p_out + 3 * (i_b * S + o_y) * S)[:, None] + 3 * o_x[None, :]
    m = (o_y < S)[:, None] & (o_x < S)[None, :]
    store_channel(p_pixel, b_red, p_draw, mean_red, inverse_std_red, m)
    store_channel(p_pixel + 1, b_green, p_draw, mean_green, inverse_std_green, m)
    store_channel(p_pixel + 2, b_blue, p_draw, mean_blue, inverse_std_blue, m)
