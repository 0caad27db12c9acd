"""`sslfast.load_encoder`: an encoder by its name, in one call."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sslfast.encoders import Encoder
from sslfast.encoders.given import named_module
from sslfast.weights import load_encoder as load_named


def load_encoder(
    name: str | Path,
    device: str | torch.device = "cpu",
    *,
    architecture: str | nn.Module | None = None,
    partial: bool = False,
) -> Encoder:
    """Loads an encoder in evaluation mode: a network of images (B, C, S, S) to features (B, feature_dim).

    Beside `feature_dim` it has the attributes `side`, the side of its images in pixels, `channels`, their number C
    of channels, 3 for RGB, and `mean` and `std`, fp32 (C,) on the device, by which images in [0, 1] are to be
    normalized.

    Args:
        name: a run's directory, a checkpoint, a run's backbone.safetensors, a state dict of other software (.pth
            or .safetensors), `torchvision/<model>[@<weights>]`, `timm/<model>[@<tag>]`, or `random`. With
            `@momentum` after a run's directory or a checkpoint: the encoder that follows the trained one as a
            moving average, where the method has one, as DINO's teacher.
        device: where to put it.
        architecture: the network of a state dict that is no ResNet's, or of `random`: a name that `encoder.name`
            takes, or a module that makes features (B, D) or a map (B, D, h, w) of images; so also of a run whose
            encoder was a module.
        partial: of a state dict take what fits, with a warning for the rest.

    Raises:
        UsageError: nothing has that name, it cannot be read, or its weights do not fit.
    """
    with named_module(architecture) as network:
        return load_named(name, device, architecture=network, partial=partial)
