"""A classifier on an encoder of which none, some or all stages are trained along."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from sslfast.encoders import Encoder
from sslfast.encoders.norm import use_whole_batches
from sslfast.errors import UsageError

Frozen = int | Literal["all"]


class Classifier(nn.Module):
    """A copy of an encoder, and a head from its features to the scores of classes.

    Batch normalizations are over the whole batch, whatever parts of one pre-training had.

    Args:
        encoder: is copied, and stays as it is.
        head: (B, feature_dim) -> (B, classes).
        frozen: how many of the encoder's first stages (`Encoder.stages`) keep their weights and their running
            statistics; "all": only the head is trained, on the features that the encoder has in evaluation mode.

    Raises:
        UsageError: the encoder has fewer stages.
    """

    def __init__(self, encoder: Encoder, head: nn.Module, frozen: Frozen) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        use_whole_batches(self.encoder)
        self.encoder.requires_grad_(True)
        self.head = head
        self.probe = frozen == "all"
        stages = self.encoder.stages()
        if frozen != "all" and frozen > len(stages):
            raise UsageError(
                f"frozen={frozen}: the encoder has {len(stages)} stage{'s' * (len(stages) != 1)}; set as many or "
                "less, or frozen=all"
            )
        self.fixed: list[nn.Module] = [self.encoder] if frozen == "all" else stages[:frozen]
        for stage in self.fixed:
            stage.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.probe):
            features = self.encoder(images)
        scores: Tensor = self.head(features)
        return scores

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        for stage in self.fixed:
            stage.eval()
        return self


def linear_head(
    features: int, classes: int, generator: torch.Generator, *, standardize: bool = False
) -> nn.Module:
    """Makes a linear layer, weights from N(0, 0.01^2) and biases 0, as MoCo's (He et al. 2020) is begun.

    Args:
        features: its inputs.
        classes: its outputs.
        generator: of the weights.
        standardize: put a batch norm without affine parameters before it.
    """
    layer = nn.Linear(features, classes)
    nn.init.normal_(layer.weight, std=0.01, generator=generator)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.BatchNorm1d(features, affine=False), layer) if standardize else layer


def mlp_head(features: int, classes: int, generator: torch.Generator) -> nn.Module:
    """Makes a hidden layer as wide as the features, ReLU, then `linear_head`."""
    hidden = nn.Linear(features, features)
    nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(hidden.bias)
    return nn.Sequential(hidden, nn.ReLU(), linear_head(features, classes, generator))
