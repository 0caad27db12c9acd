"""What a picture shows of views, which may have other channels than red, green and blue."""

from __future__ import annotations

from torch import Tensor

from sslfast.config import DataConfig
from sslfast.views import to_rgb


def shown_channels(views: Tensor, data: DataConfig) -> Tensor:
    """Shows views as people see them: their first three channels as RGB, or of fewer the first as gray.

    Args:
        views: (B, C, H, W), normalized.
        data: their mean and std.

    Returns:
        float32 (B, 3, H, W) in [0, 1].
    """
    count = 3 if views.shape[1] >= 3 else 1
    return to_rgb(views[:, :count], data.mean[:count], data.std[:count]).expand(-1, 3, -1, -1)
