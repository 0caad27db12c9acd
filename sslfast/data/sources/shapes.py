"""`shapes`: a data set that is generated, so that a first run needs no download.

A picture shows a few figures of one kind on a ground. Ten classes: five kinds of figure (disk, bar, triangle,
cross, ring), each in warm colors on a cool ground or in cool colors on a warm one. Both colors are in every
picture, so neither its colors nor its outlines alone tell the class. Position, size, rotation, the exact colors,
light and noise vary and mean nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from sslfast.data.sources.base import Source
from sslfast.kernels.view_augment import rgb_from_hexcone

Array = NDArray[np.float64]


def _box(u: Array, v: Array, width: float, height: float) -> Array:
    return np.maximum(abs(u) - width, abs(v) - height)


# Distance to the outline in units of the figure's radius, negative inside. All have an area of 1.6, so that the
# share of the figures' color in a picture does not tell the kind.
OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "disk": lambda u, v: np.hypot(u, v) - 0.714,
    "bar": lambda u, v: _box(u, v, 1.15, 0.348),
    "triangle": lambda u, v: np.maximum(v, np.sqrt(0.75) * abs(u) - v / 2) - 0.555,
    "cross": lambda u, v: np.minimum(_box(u, v, 0.95, 0.242), _box(u, v, 0.242, 0.95)),
    "ring": lambda u, v: abs(np.hypot(u, v) - 0.75) - 0.17,
}
COLORS = ("warm", "cool")
CLASSES = [f"{color} {figure}" for figure, color in product(OUTLINES, COLORS)]
NUM_IMAGES = 5000
SIDE = 32  # pixels
SEED = 0
COPIES = 4  # figures in a picture
KNOTS = 4  # colors along each side of the ground
CHUNK = 500  # pictures drawn at a time, to bound the memory


def open_shapes() -> Source:
    """Generates the data set: 5000 pictures of 32 x 32 pixels, class-balanced, the same every time."""
    labels, images = _pictures()
    return Source("shapes", labels=labels, classes=CLASSES, images=images)


@functools.cache  # of 15 MB, which take a second to draw
def _pictures() -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Draws the labels and the pictures of the whole set."""
    labels = np.arange(NUM_IMAGES) % len(CLASSES)
    rng = np.random.default_rng(SEED)
    images = np.concatenate([draw_pictures(labels[i : i + CHUNK], rng) for i in range(0, NUM_IMAGES, CHUNK)])
    return labels, images


def draw_pictures(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws one picture a label: (N,) -> uint8 (N, SIDE, SIDE, 3)."""
    kind, cool = np.divmod(labels, len(COLORS))
    image = _ground(1 - cool, rng)
    for _ in range(COPIES):
        cover = _cover(kind, rng)[..., None]
        image = cover * _colors(cool, 1, rng) + (1 - cover) * image
    image += rng.normal(0, 0.04, image.shape)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def _colors(cool: NDArray[np.int64], side: int, rng: np.random.Generator) -> Array:
    """Draws warm (red to yellow) or cool (cyan to blue) colors: (N, side, side, 3) in [0, 1], each its own."""
    shape = (len(cool), side, side)
    lowest = np.where(cool, 0.52, -0.02)[:, None, None]
    hue = lowest + rng.uniform(0, 0.14, shape)
    saturation, value = rng.uniform(0.5, 0.9, (2, *shape))
    rgb = rgb_from_hexcone(*map(torch.from_numpy, (6 * hue, value * saturation, value)))
    return rgb.permute(0, 2, 3, 1).numpy()


def _ground(cool: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Draws a ground whose color varies as much within a picture as between pictures: (N, SIDE, SIDE, 3)."""
    position = np.linspace(0, KNOTS - 1, SIDE)
    blend = (1 - abs(position[:, None] - np.arange(KNOTS))).clip(0, 1)  # linear interpolation between the knots
    return np.einsum("yi,xj,nijc->nyxc", blend, blend, _colors(cool, KNOTS, rng), optimize=True)


def _cover(kind: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Computes the share of each pixel that one figure covers: (N, SIDE, SIDE) in [0, 1], soft at the outline."""
    n = len(kind)
    cx, cy = rng.uniform(4, SIDE - 4, (2, n, 1, 1))
    radius = rng.uniform(5.5, 8, (n, 1, 1))
    angle = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    row, column = np.indices((SIDE, SIDE)) + 0.5
    x, y = (column - cx) / radius, (row - cy) / radius
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    distance = np.empty_like(u)
    for number, outline in enumerate(OUTLINES.values()):
        chosen = kind == number
        distance[chosen] = outline(u[chosen], v[chosen])
    return (0.5 - distance * radius).clip(0, 1)
