"""The settings of `sslfast embed`."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Count, Probability, ValueRange


@dataclass(config=STRICT)
class EmbedConfig:
    """The images to embed, and how their features are computed."""

    limit: Count | None = None
    """Number of images to use, balanced over the classes; null: all."""
    range: ValueRange | None = None
    """Values that become black and white in images of more than 8 bits; null: those of the run."""
    on_error: Literal["skip", "stop"] = "skip"
    """Treatment of unreadable images. skip: they are named and left out; stop: no embeddings are made."""
    max_bad: Probability = 0.01
    """Largest share of the images that may be unreadable under on_error=skip."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda or cuda:<number>; auto: cuda where there is one, else cpu."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Precision in which the encoder computes; auto: bf16, or fp16, where the device is made for it."""
    chunk: Count = 256
    """Number of images that go through the encoder at once."""
