"""What several of the losses check, and the samples of all ranks."""

import torch.distributed as dist
from torch import Tensor

from sslfast import distributed


def check_gathering(name: str, wanted: bool) -> None:
    """Raises ValueError where gathering is wanted and impossible."""
    if wanted and not dist.is_available():
        raise ValueError(f"{name}: cannot gather over processes: this torch is built without torch.distributed")


def gathered(wanted: bool, *views: Tensor) -> tuple[Tensor, ...]:
    """Returns the rows of all ranks, with gradient, where that is wanted; else these."""
    return tuple(distributed.gather(view) for view in views) if wanted else views


def check_pair(name: str, z_a: Tensor, z_b: Tensor) -> None:
    """Raises ValueError unless both views' embeddings are of one shape (N, D) with N > 1."""
    if z_a.ndim != 2 or len(z_a) < 2 or z_b.shape != z_a.shape:
        raise ValueError(
            f"{name}: expected z_a and z_b of one shape (N, D) with N > 1, "
            f"got {tuple(z_a.shape)} and {tuple(z_b.shape)}"
        )
