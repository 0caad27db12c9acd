"""CPC v2, CPC made data-efficient (Henaff et al. 2020, arXiv:1905.09272)."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Count, CountOrZero, Positive, Probability
from sslfast.methods.cpc_v1 import CPCV1, CPCV1Config


@dataclass(config=STRICT)
class CPCV2Config(CPCV1Config):
    name: Literal["cpc_v2"]  # type: ignore[assignment]
    flip_patches: Probability = 0.5
    drop_colors: Probability = 1.0
    directions: Literal[1, 2, 4] = 4
    first_step: Count = 3
    dim: CountOrZero = 64
    temperature: Positive = 10.0


class CPCV2(CPCV1[CPCV2Config]):
    """CPC v1 in four directions, from farther off, each patch altered by itself.

    Layer normalization and views in color stand in the recipes. Of the paper's augmentation of patches, these are
    mirrored and lose colors; AutoAugment's and the elastic transformations are left out.
    """

    Config = CPCV2Config
