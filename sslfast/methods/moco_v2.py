"""MoCo v2 (Chen, Fan, Girshick, He 2020, arXiv:2003.04297)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, CountOrZero, Positive
from sslfast.methods.moco_v1 import MoCoV1, MoCoV1Config


@dataclass(config=STRICT)
class MoCoV2Config(MoCoV1Config):
    name: Literal["moco_v2"]  # type: ignore[assignment]
    hidden: CountOrZero = 2048
    """Width of the head's hidden layer; 0: the head is one linear layer."""
    temperature: Positive = 0.2
    """Divides the similarities."""


class MoCoV2(MoCoV1):
    """MoCo v1 with a two-layer head; its stronger augmentation and cosine schedule stand in the recipes."""

    Config: ClassVar[type[MoCoV1Config]] = MoCoV2Config
