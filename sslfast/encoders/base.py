"""What methods and evaluations ask of a backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """images (B, 3, S, S) -> features (B, feature_dim).

    Called with `dense=True` it gives a map of them instead, (B, feature_dim, h, w), where there is one: what a
    ResNet's features are the mean of; the patches of a ViT, whose features are its class token.
    """

    feature_dim: int

    @abstractmethod
    def forward(self, x: Tensor, dense: bool = False) -> Tensor: ...
