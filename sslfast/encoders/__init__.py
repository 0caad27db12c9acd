"""The backbones, by the name that recipes use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslfast.encoders.base import Encoder
from sslfast.encoders.norm import SplitBatchNorm2d
from sslfast.encoders.resnet import RESNETS, build_resnet
from sslfast.encoders.timm import TIMM, build_timm
from sslfast.encoders.vit import VITS, build_vit
from sslfast.errors import UsageError

if TYPE_CHECKING:
    from sslfast.config import EncoderConfig

__all__ = ["RESNETS", "VITS", "Encoder", "SplitBatchNorm2d", "build_encoder"]


def build_encoder(config: EncoderConfig, channels: int = 3) -> Encoder:
    """The backbone that a recipe's `encoder` section names, freshly initialised from torch's generator.

    Args:
        config: the section.
        channels: of the images.

    Raises:
        UsageError: no encoder has that name, or the one that has it cannot be as the section asks.
    """
    if config.name in RESNETS:
        return build_resnet(config, channels)
    if config.name in VITS:
        return build_vit(config, channels)
    if config.name.startswith(TIMM):
        return build_timm(config, channels)
    names = ", ".join([*RESNETS, *VITS])
    raise UsageError(f"encoder.name: expected one of {names}, or timm/<model>, got {config.name!r}")
