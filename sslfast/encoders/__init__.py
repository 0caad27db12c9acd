"""The backbones, by the name that recipes use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from sslfast.encoders.base import Encoder
from sslfast.encoders.colors import ColorEncoder, channels_of
from sslfast.encoders.norm import SplitBatchNorm2d
from sslfast.encoders.resnet import RESNETS, STRIDES, ResNet
from sslfast.errors import UsageError

if TYPE_CHECKING:
    from sslfast.config import EncoderConfig

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

__all__ = ["RESNETS", "ColorEncoder", "Encoder", "SplitBatchNorm2d", "build_encoder", "stride"]


def build_encoder(
    config: EncoderConfig,
    channels: int = 3,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Encoder:
    """The backbone that a recipe's `encoder` section names, freshly initialised from torch's generator.

    Args:
        config: the section.
        channels: of the images; 3 unless `colors` is rgb.
        mean, std: that images are normalised by; a ColorEncoder has them among its weights.

    Raises:
        UsageError: no encoder has that name.
    """
    if config.colors != "rgb":
        part = replace(config, colors="rgb", width=config.width / config.color_parts)
        parts = [build_encoder(part, count) for count in channels_of(config.color_parts)]
        return ColorEncoder(parts, config.colors, mean, std)
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
