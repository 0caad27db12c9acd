"""The colors of a map of weights: viridis (van der Walt and Smith 2015, CC0), perceptually uniform."""

from __future__ import annotations

import torch
from torch import Tensor

# Every 15th of its 256 colors, from dark to light: between two of them it is nearly straight.
COLORS = (
    "440154 481769 472a7a 433d84 3d4e8a 355e8d 2e6d8e 297b8e 23898e "
    "1f978b 21a585 2eb37c 46c06f 65cb5e 89d548 b0dd2f d8e219 fde725"
)


def viridis(values: Tensor) -> Tensor:
    """Computes the colors of values, from the least, dark, to the greatest, light.

    Args:
        values: fp32 (h, w), finite.

    Returns:
        fp32 (3, h, w) in [0, 1]; of equal values all dark.
    """
    colors = torch.tensor([[int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)] for color in COLORS.split()])
    spread = (values.max() - values.min()).clamp_min(torch.finfo(values.dtype).tiny)
    place = (values - values.min()) / spread * (len(colors) - 1)
    below = place.long().clamp_max(len(colors) - 2)
    return torch.lerp(colors[below], colors[below + 1], (place - below)[..., None]).permute(2, 0, 1)
