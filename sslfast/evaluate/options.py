"""The options that all evaluations share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sslfast.schema import STRICT, Count


@dataclass(config=STRICT)
class EvaluationConfig:
    limit: Count | None = None
    """Use so many images of each data set, balanced over the classes; null: all."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the images held out where no validation set is given; fixed, balanced over the classes."""
    chunk: Count = 256
    """Images that go through the encoder at once."""
    device: str = "auto"
    """auto: cuda where there is one, else cpu."""
    seed: int = 0
    """Of everything random in the evaluation."""
