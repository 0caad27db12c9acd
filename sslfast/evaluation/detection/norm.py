"""The batch normalisation of an encoder that becomes a detector's."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d


def replace_norm(module: nn.Module, *, frozen: bool) -> None:
    """Replaces each batch normalisation of a module, of whatever kind, by torch's, or by one that stays as it is.

    A detector's maps are of several images as before; the regions of a head are of any number, which split batch
    normalisation would refuse, and of one process, whose statistics are those of the whole batch.

    Args:
        module: is changed in place.
        frozen: keep weights and statistics.
    """
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            kind = FrozenBatchNorm2d if frozen else nn.BatchNorm2d
            norm = kind(child.num_features, eps=child.eps)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm)
        else:
            replace_norm(child, frozen=frozen)
