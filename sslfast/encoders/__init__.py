"""The backbones, by the name that recipes use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from sslfast.config import EncoderConfig
from sslfast.encoders.base import Encoder
from sslfast.encoders.colors import ColorEncoder, channels_of
from sslfast.encoders.given import ModuleEncoder, build_given, starts_at_random
from sslfast.encoders.resnet import RESNETS, STRIDES, build_resnet
from sslfast.encoders.timm import TIMM, TimmEncoder, build_timm
from sslfast.encoders.vit import VITS, build_vit, check_tiling
from sslfast.errors import UsageError
from sslfast.given import is_given

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "RESNETS",
    "TIMM",
    "VITS",
    "ColorEncoder",
    "Encoder",
    "ModuleEncoder",
    "TimmEncoder",
    "build_encoder",
    "check_side",
    "starts_at_random",
    "try_encoder",
]


def build_encoder(
    config: EncoderConfig,
    channels: int = 3,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    side: int = 224,
) -> Encoder:
    """Builds the backbone that a recipe's `encoder` section names, freshly initialized from torch's generator.

    A module that was given from Python is copied with the weights that it has.

    Args:
        config: the section.
        channels: of the images; 3 where `colors` is not rgb.
        mean, std: that images are normalized by; a ColorEncoder has them among its weights.
        side: of the images in pixels, by which a module's number of features is found.

    Raises:
        UsageError: no encoder has that name, or it cannot have the section's other settings.
    """
    if is_given(config.name):
        return build_given(config, channels, side)
    if config.colors != "rgb":
        part = replace(config, colors="rgb", width=config.width / config.color_parts)
        parts = [build_encoder(part, count) for count in channels_of(config.color_parts)]
        return ColorEncoder(parts, config.colors, mean, std)
    if config.name in RESNETS:
        return build_resnet(config, channels)
    if config.name in VITS:
        return build_vit(config, channels)
    if config.name.startswith(TIMM):
        return build_timm(config, channels)
    names = ", ".join([*RESNETS, *VITS])
    raise UsageError(f"encoder.name: expected one of {names}, or timm/<model>, got {config.name!r}")


def check_side(config: EncoderConfig, side: int) -> None:
    """Refuses images of a side that the encoder cannot take, or that it would shrink to less than a pixel.

    Raises:
        UsageError: images of such a side.
    """
    if config.name in VITS:
        check_tiling(side, config.patch_size)
    # Layers of stride 2 round up: the last one has more than a pixel to halve where side > step / 2.
    step = STRIDES[config.stem]
    if config.name in RESNETS and 2 * side <= step:
        raise UsageError(
            f"encoder.stem={config.stem}: expected more than {step // 2} pixels a side, for {config.name} makes "
            f"one of {step} x {step}, got {side} x {side}; take "
            f"{'encoder.stem=cifar, or ' if config.stem != 'cifar' else ''}a larger data.size"
        )


@torch.no_grad()
def try_encoder(
    encoder: Encoder, config: EncoderConfig, sides: Iterable[int], *, channels: int = 3, dense: bool = False
) -> None:
    """Encodes an image of zeros of each size, so that sizes it cannot take are known before training.

    Args:
        encoder: in training mode; its state stays as it is.
        config: the section that it was built from.
        sides: of the images, pixels.
        channels: of the images.
        dense: ask for a map of features.

    Raises:
        UsageError: it has no map, or takes no images of one of the sizes.
    """
    encoder.eval()
    for side in sides:
        try:
            encoder(torch.zeros(1, channels, side, side), dense=dense)
        except (AssertionError, RuntimeError) as error:  # as timm's models say it
            reason = " ".join(str(error).split())
            raise UsageError(f"encoder.name={config.name}: takes no images of {side} pixels: {reason}") from error
    encoder.train()
