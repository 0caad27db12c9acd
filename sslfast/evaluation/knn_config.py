"""The settings of the nearest-neighbor classifier."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Count, Positive
from sslfast.evaluation.options import FeaturesConfig

KNN_TEMPERATURE = 0.1  # Wu et al. 2018, section 3.4: 0.07; 0.1 in most evaluations since


@dataclass(config=STRICT)
class KNNConfig(FeaturesConfig):
    """The weighted vote of the nearest training images, by the cosine of the features."""

    k: Annotated[list[Count], Field(min_length=1)] = field(default_factory=lambda: [200, 20])
    """Numbers of neighbors that vote, a row of results each; at most as many as there are training images."""
    temperature: Annotated[list[Positive], Field(min_length=1)] = field(default_factory=lambda: [KNN_TEMPERATURE])
    """Temperatures of the votes, a row of results each: a neighbor's weighs exp(similarity / temperature)."""
    bank: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision in which the training images' features are kept. bf16: half the memory, 5 GiB for 1.3 million
    images of 2048 features; similarities are computed in fp32 either way."""
