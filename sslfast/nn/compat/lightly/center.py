"""The center of a teacher's scores, which DINO and iBOT subtract."""

import torch
from torch import Tensor, nn

from sslfast import distributed


def check_center_mode(name: str, mode: str) -> None:
    """Raises ValueError for a mode that the original does not have."""
    if mode != "mean":
        raise ValueError(f"{name}: expected center_mode to be 'mean', got {mode!r}")


@torch.no_grad()
def moved_center(center: Tensor, scores: Tensor, momentum: float) -> Tensor:
    """Returns the center, (1, ..., D), moved towards the mean of scores (..., D) of all ranks."""
    batch = distributed.mean(scores.flatten(0, -2).mean(dim=0))
    return center * momentum + batch * (1 - momentum)


class Center(nn.Module):
    """`lightly.models.modules.center.Center`, as a state dict has it.

    Args:
        dim: D.
        momentum: of the moving average.

    Attributes:
        center: (1, D), a buffer; 0 at the start.
    """

    center: Tensor

    def __init__(self, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("center", torch.zeros(1, dim))

    @property
    def value(self) -> Tensor:
        """Returns the center, (1, D)."""
        return self.center

    def update(self, x: Tensor) -> None:
        """Moves the center towards the mean of scores, (N, D), of all ranks."""
        self.center = moved_center(self.center, x, self.momentum)
