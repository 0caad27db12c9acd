"""What methods and evaluations ask of a backbone."""

from __future__ import annotations

from torch import Tensor, nn


class Encoder(nn.Module):
    """images (B, 3, S, S) -> features (B, feature_dim).

    Called with `dense=True` it gives the map that the features are the mean of, (B, feature_dim, h, w), where
    there is one.
    """

    feature_dim: int

    def forward(self, x: Tensor, dense: bool = False) -> Tensor:
        raise NotImplementedError
