"""The interface of a backbone, as methods and evaluations use it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A network from images (B, C, S, S) to features (B, feature_dim).

    Called with `dense=True` it gives a map of features instead, (B, feature_dim, h, w), where there is one. A
    ResNet's features are the mean of its map; a ViT's map is of its patches, its features are the class token, or
    the mean of the map.

    Attributes:
        feature_dim: number of features.
        side: side of the images in pixels that it was trained on; of one that `sslfast.load_encoder` has loaded.
        channels: number of channels of the images, 3 for RGB; likewise.
        mean, std: (C,), by which images in [0, 1] are to be normalized; likewise.
    """

    feature_dim: int
    side: int
    channels: int
    mean: Tensor
    std: Tensor

    def stages(self) -> list[nn.Module]:
        """Lists the parts that images pass, in order, for what trains the last ones only; itself, if none."""
        return [self]

    def blocks(self) -> list[nn.Module]:
        """Lists the parts like one another that hold most of its weights and activations; none, if unknown."""
        return []

    def for_inference(self, dtype: torch.dtype) -> nn.Module:
        """Returns a faster form where only features are wanted, equal but for rounding; itself, if it has none.

        The encoder has to be in evaluation mode, and the form is of the weights that it has now.

        Args:
            dtype: to compute in; that of a form without one of its own is autocast's.
        """
        return self

    @abstractmethod
    def forward(self, x: Tensor, dense: bool = False) -> Tensor: ...


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Lists the blocks of all encoders in a network."""
    return [block for part in network.modules() if isinstance(part, Encoder) for block in part.blocks()]
