"""The backbones, by the name that recipes use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from sslfast.encoders.base import Encoder
from sslfast.encoders.norm import SplitBatchNorm2d
from sslfast.encoders.resnet import RESNETS, STRIDES, ResNet
from sslfast.errors import UsageError

if TYPE_CHECKING:
    from sslfast.config import EncoderConfig

__all__ = ["RESNETS", "Encoder", "SplitBatchNorm2d", "build_encoder", "stride"]


def build_encoder(config: EncoderConfig, channels: int = 3) -> Encoder:
    """The backbone that a recipe's `encoder` section names, freshly initialised from torch's generator.

    Args:
        config: the section.
        channels: of the images.

    Raises:
        UsageError: no encoder has that name.
    """
    if config.name not in RESNETS:
        raise UsageError(f"encoder.name: expected one of {', '.join(RESNETS)}, got {config.name!r}")
    block, layers = RESNETS[config.name]
    norm: Callable[..., nn.Module] = nn.BatchNorm2d
    if config.norm == "split":
        norm = partial(SplitBatchNorm2d, splits=config.norm_splits)
    elif config.norm == "layer":
        norm = partial(nn.GroupNorm, 1)  # one group: all channels and places of an image together
    return ResNet(block, layers, width=config.width, stem=config.stem, norm_layer=norm, channels=channels)


def stride(config: EncoderConfig) -> int:
    """Pixels of an image from one place of the dense map to the next."""
    return STRIDES[config.stem]
