"""MoCo v2 (Chen, Fan, Girshick, He 2020, arXiv:2003.04297)."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT
from sslfast.methods.moco_v1 import MoCoV1, NegativesConfig


@dataclass(config=STRICT)
class MoCoV2Config(NegativesConfig):
    name: Literal["moco_v2"]


class MoCoV2(MoCoV1[MoCoV2Config]):
    """MoCo v1 with a two-layer head; its stronger augmentation and cosine schedule stand in the recipes."""

    Config = MoCoV2Config
