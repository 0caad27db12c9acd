"""Tensor operations on views: patches, cells, rotations, color spaces.

Every operation takes a batch of views on its device, works on the whole batch there, and waits for nothing. Random
numbers come from a `Key`, hence are a pure function of (seed, epoch, index, view), sample by sample. Patches are
(B, N, C, h, w), each channels_last: `patches.flatten(0, 1)` is a batch that networks take, without a copy.
"""

from sslfast.random.key import Key
from sslfast.views.aberration import drop_colors, project_colors
from sslfast.views.color_spaces import from_rgb, split_lab, split_ydbdr, to_rgb
from sslfast.views.context import context_pair
from sslfast.views.division import divide
from sslfast.views.exemplar import surrogate
from sslfast.views.inpainting import inpainting_regions
from sslfast.views.jigsaw import jigsaw_cells, normalize_patches, permuted, random_order
from sslfast.views.masks import block_mask
from sslfast.views.montage import montage
from sslfast.views.overlap import near_cells
from sslfast.views.patches import flip_patches, patch_grid, shift_patches
from sslfast.views.permutations import permutation_set
from sslfast.views.rotation import rotations
from sslfast.views.windows import aligned_windows

__all__ = [
    "Key",
    "aligned_windows",
    "block_mask",
    "context_pair",
    "divide",
    "drop_colors",
    "flip_patches",
    "from_rgb",
    "inpainting_regions",
    "jigsaw_cells",
    "montage",
    "near_cells",
    "normalize_patches",
    "patch_grid",
    "permutation_set",
    "permuted",
    "project_colors",
    "random_order",
    "rotations",
    "shift_patches",
    "split_lab",
    "split_ydbdr",
    "surrogate",
    "to_rgb",
]
