"""Operations on blocks of a view's pixels, of which view_augment's Triton kernels are made.

Three blocks in registers are the channels. Each operation equals the one of reference.py.

Names: o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BR, BW] are shapes.
"""

import triton
import triton.language as tl

from sslfast.kernels.view_augment import draw
from sslfast.kernels.view_augment.draw import Draw
from sslfast.kernels.view_augment.reference import SOLARIZE_FROM

TOP, LEFT, HEIGHT, WIDTH, FLIP, JITTER, FACTOR, _, _, SHIFT, ORDER, GRAYSCALE, SIGMA, SOLARIZE = map(
    tl.constexpr, map(int, Draw)
)
BRIGHTNESS, CONTRAST, SATURATION, HUE = map(
    tl.constexpr, (draw.BRIGHTNESS, draw.CONTRAST, draw.SATURATION, draw.HUE)
)
THRESHOLD = tl.constexpr(SOLARIZE_FROM)


@triton.jit
def gray(b_red, b_green, b_blue):
    """Computes ITU-R 601 luma, with torchvision's digits."""
    return 0.2989 * b_red + 0.587 * b_green + 0.114 * b_blue


@triton.jit
def clamp(b_x):
    return tl.minimum(tl.maximum(b_x, 0.0), 1.0)


@triton.jit
def in_view(o_y, o_x, S):
    return (o_y < S)[:, None] & (o_x < S)[None, :]


@triton.jit
def is_readable(p_draw, image, N, H, W, CROP: tl.constexpr):
    """Tells whether a sample's image is one of the N, with CROP whether its box is in it; NaN lies nowhere."""
    inside = (image >= 0) & (image < N)
    if CROP:
        top, height = tl.load(p_draw + TOP), tl.load(p_draw + HEIGHT)
        left, width = tl.load(p_draw + LEFT), tl.load(p_draw + WIDTH)
        inside &= (top >= 0) & (height > 0) & (top + height <= H)
        inside &= (left >= 0) & (width > 0) & (left + width <= W)
    return inside


@triton.jit
def triangle(o_tap, first, extent, center, half_width):
    """Computes the weights [B] of pixel first + o_tap of a crop of `extent` pixels, as in the reference."""
    pixel = first + o_tap
    weight = tl.maximum(1 - tl.abs(pixel + 0.5 - center) / half_width, 0.0)
    return tl.where(pixel < extent, weight, 0.0)


@triton.jit
def crop_resize(p_image, p_draw, W, o_y, o_x, S):
    """Computes the levels [B, B] of a view's pixels at rows o_y and columns o_x."""
    top, left = tl.load(p_draw + TOP).to(tl.int64), tl.load(p_draw + LEFT).to(tl.int64)
    height, width = tl.load(p_draw + HEIGHT), tl.load(p_draw + WIDTH)
    y_scale, x_scale = height / S, width / S
    y_half, x_half = tl.maximum(y_scale, 1.0), tl.maximum(x_scale, 1.0)
    y_center = (o_y + 0.5) * y_scale
    x_center = (tl.where(tl.load(p_draw + FLIP) != 0, S - 1 - o_x, o_x) + 0.5) * x_scale
    y_first = tl.maximum(tl.floor(y_center - y_half + 0.5), 0.0)
    x_first = tl.maximum(tl.floor(x_center - x_half + 0.5), 0.0)
    b_red = tl.zeros((o_y.shape[0], o_x.shape[0]), tl.float32)
    b_green = tl.zeros((o_y.shape[0], o_x.shape[0]), tl.float32)
    b_blue = tl.zeros((o_y.shape[0], o_x.shape[0]), tl.float32)
    y_total = tl.zeros_like(y_center)
    x_total = tl.zeros_like(x_center)
    for x_tap in range(tl.ceil(2 * x_half).to(tl.int32)):
        x_total += triangle(x_tap, x_first, width, x_center, x_half)
    for y_tap in range(tl.ceil(2 * y_half).to(tl.int32)):
        y_weight = triangle(y_tap, y_first, height, y_center, y_half)
        y_total += y_weight
        p_row = p_image + 3 * ((top + (y_first + y_tap).to(tl.int64)) * W + left)  # [B]
        for x_tap in range(tl.ceil(2 * x_half).to(tl.int32)):
            b_weight = y_weight[:, None] * triangle(x_tap, x_first, width, x_center, x_half)[None, :]
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
    """Applies the sample's operations from number `first` up to, not including, `last`; mean: of the grays."""
    order = tl.load(p_draw + ORDER).to(tl.int32)
    for step in range(first, last):
        operation = (order >> (2 * step)) & 3
        if operation == HUE:
            b_value = tl.maximum(tl.maximum(b_red, b_green), b_blue)
            b_chroma = b_value - tl.minimum(tl.minimum(b_red, b_green), b_blue)
            b_hue = tl.where(
                b_value == b_red,
                b_green - b_blue,
                tl.where(b_value == b_green, b_blue - b_red + 2 * b_chroma, b_red - b_green + 4 * b_chroma),
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
    """Finds the number of contrast among the sample's four operations."""
    order = tl.load(p_draw + ORDER).to(tl.int32)
    step = 0
    for i in tl.static_range(1, 4):
        step = tl.where((order >> (2 * i)) & 3 == CONTRAST, i, step)
    return step


@triton.jit
def before_contrast(p_image, p_draw, W, S, o_y, o_x, CROP: tl.constexpr):
    """Computes a view's pixels [B, B] at rows o_y and columns o_x, jittered up to contrast."""
    if CROP:
        b_red, b_green, b_blue = crop_resize(p_image, p_draw, W, o_y, o_x, S)
    else:
        m = in_view(o_y, o_x, S)
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
    m = in_view(o_y, o_x, S)
    return tl.sum(tl.where(m, gray(b_red, b_green, b_blue), 0.0))


@triton.jit
def from_contrast(b_red, b_green, b_blue, p_draw, mean):
    """Applies the rest of the jitter, from contrast on, and grayscale."""
    if tl.load(p_draw + JITTER) != 0:
        b_red, b_green, b_blue = color_jitter(b_red, b_green, b_blue, p_draw, contrast_step(p_draw), 4, mean)
    if tl.load(p_draw + GRAYSCALE) != 0:
        b_red = gray(b_red, b_green, b_blue)
        b_green = b_red
        b_blue = b_red
    return b_red, b_green, b_blue


@triton.jit
def blur(p_planes, o_along, stride, o_across, S, sigma, RADIUS, m):
    """Reads red, green and blue out of planes of (S, S), blurred along one axis with reflected borders."""
    b_red = tl.zeros(m.shape, tl.float32)
    b_green = tl.zeros(m.shape, tl.float32)
    b_blue = tl.zeros(m.shape, tl.float32)
    total = 0.0
    for distance in range(-RADIUS, RADIUS + 1):
        weight = tl.exp(-0.5 * (distance / sigma) * (distance / sigma))
        o_from = S - 1 - tl.abs(S - 1 - tl.abs(o_along + distance))
        p_pixel = p_planes + (o_from * stride + o_across)  # [BR, BW]
        b_red += weight * tl.load(p_pixel, mask=m, other=0.0)
        b_green += weight * tl.load(p_pixel + S * S, mask=m, other=0.0)
        b_blue += weight * tl.load(p_pixel + 2 * S * S, mask=m, other=0.0)
        total += weight
    return b_red / total, b_green / total, b_blue / total


@triton.jit
def load_planes(p_planes, o_y, o_x, S, m):
    p_pixel = p_planes + (o_y * S + o_x)
    b_red = tl.load(p_pixel, mask=m, other=0.0)
    b_green = tl.load(p_pixel + S * S, mask=m, other=0.0)
    b_blue = tl.load(p_pixel + 2 * S * S, mask=m, other=0.0)
    return b_red, b_green, b_blue


@triton.jit
def store_planes(p_planes, b_red, b_green, b_blue, o_y, o_x, S, m):
    p_pixel = p_planes + (o_y * S + o_x)
    tl.store(p_pixel, b_red, mask=m)
    tl.store(p_pixel + S * S, b_green, mask=m)
    tl.store(p_pixel + 2 * S * S, b_blue, mask=m)


@triton.jit
def store_channel(p_out, b_x, p_draw, mean, inverse_std, m):
    if tl.load(p_draw + SOLARIZE) != 0:
        b_x = tl.where(b_x >= THRESHOLD, 1 - b_x, b_x)
    tl.store(p_out, ((b_x - mean) * inverse_std).to(p_out.dtype.element_ty), mask=m)


@triton.jit
def finish(p_out, b_red, b_green, b_blue, p_draw, i_b, o_y, o_x, S, mean, inverse_std, m):
    """Solarizes, normalizes and stores; mean and inverse_std: tuples of three."""
    p_pixel = (p_out + 3 * (i_b * S + o_y) * S)[:, None] + 3 * o_x[None, :]
    store_channel(p_pixel, b_red, p_draw, mean[0], inverse_std[0], m)
    store_channel(p_pixel + 1, b_green, p_draw, mean[1], inverse_std[1], m)
    store_channel(p_pixel + 2, b_blue, p_draw, mean[2], inverse_std[2], m)
