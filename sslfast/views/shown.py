"""The operations by name, as pictures: what the networks of a method see of a view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslfast.views import color_spaces as spaces
from sslfast.views.color_drop import drop_colors
from sslfast.views.context import context_pair
from sslfast.views.division import divide
from sslfast.views.draws import Key, Stream
from sslfast.views.exemplar import surrogate
from sslfast.views.jigsaw import jigsaw_cells, normalize_patches, permuted, random_order
from sslfast.views.patches import flip_patches, patch_grid, shift_patches
from sslfast.views.permutations import permutation_set
from sslfast.views.rotation import rotations

if TYPE_CHECKING:
    from sslfast.config import DataConfig

# (normalised views (B, 3, S, S), their key, data) -> RGB in [0, 1], (B, N, 3, h, w)
Operation = Callable[[Tensor, Key, "DataConfig"], Tensor]

PAPER = 221  # gray level of the sheet, and of places where nothing is: neither white nor black
MEMBERS = 4  # shown of a surrogate class
MIDDLE_LAB, MIDDLE_Y = 65.0, 0.5  # the brightness at which chrominance is shown


def _divide(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    return _pictures(divide(views), data)


def _patch_grid(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    return _pictures(patch_grid(views), data)


def _shifted_patches(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    patches = patch_grid(views)
    return _pictures(shift_patches(patches, key, max(1, patches.shape[-1] // 32)), data)


def _altered_patches(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    patches = patch_grid(views)
    patches = flip_patches(shift_patches(patches, key, max(1, patches.shape[-1] // 32)), key)
    return _pictures(drop_colors(patches, key), data)


def _jigsaw(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    classes = permutation_set(100).to(views.device)
    cells = normalize_patches(jigsaw_cells(views, key))
    order = classes[key.integers(Stream.PERMUTATION, len(classes))]
    return _pictures(permuted(cells, order), data)


def _pirl(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    """The first view as it is, cells of the second."""
    if key.view == 0:
        return _pictures(views[:, None], data)
    cells = jigsaw_cells(views, key, patch=max(1, views.shape[-1] // 3 * 64 // 85))
    return _pictures(permuted(cells, random_order(key, cells.shape[1])), data)


def _context(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    """Both patches at their places among 3 x 3."""
    patches, position = context_pair(views, key, patch=data.size * 96 // 398)
    shown = torch.full((len(views), 9, *patches.shape[2:]), PAPER / 255, device=views.device)
    center, neighbour = _pictures(patches, data).unbind(1)
    shown[:, 4] = center
    shown[torch.arange(len(views), device=views.device), position + (position >= 4)] = neighbour
    return shown


def _drop_colors(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    return _pictures(drop_colors(views[:, None], key), data)


def _rotations(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    return _pictures(rotations(views), data)


def _exemplar(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    rgb = spaces.to_rgb(views, data.mean, data.std)
    return torch.stack([surrogate(rgb, replace(key, view=member)) for member in range(MEMBERS)], dim=1)


def _lab(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    lab = spaces.lab_from_rgb(spaces.to_rgb(views, data.mean, data.std))
    gray, color = lab.clone(), lab.clone()
    gray[:, 1:], color[:, 0] = 0, MIDDLE_LAB
    return torch.stack((spaces.rgb_from_lab(gray), spaces.rgb_from_lab(color)), dim=1)


def _ydbdr(views: Tensor, key: Key, data: DataConfig) -> Tensor:
    ydbdr = spaces.ydbdr_from_rgb(spaces.to_rgb(views, data.mean, data.std))
    gray, color = ydbdr.clone(), ydbdr.clone()
    gray[:, 1:], color[:, 0] = 0, MIDDLE_Y
    return torch.stack((spaces.rgb_from_ydbdr(gray), spaces.rgb_from_ydbdr(color)), dim=1).clamp(0, 1)


def _pictures(patches: Tensor, data: DataConfig) -> Tensor:
    rgb = spaces.to_rgb(patches.flatten(0, 1), data.mean, data.std)
    return rgb.unflatten(0, patches.shape[:2])


OPERATIONS: dict[str, Operation] = {
    "altered_patches": _altered_patches,
    "context": _context,
    "divide": _divide,
    "drop_colors": _drop_colors,
    "exemplar": _exemplar,
    "jigsaw": _jigsaw,
    "lab": _lab,
    "patch_grid": _patch_grid,
    "pirl": _pirl,
    "rotations": _rotations,
    "shifted_patches": _shifted_patches,
    "ydbdr": _ydbdr,
}
