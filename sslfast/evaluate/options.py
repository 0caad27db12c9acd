"""The options that all evaluations share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Count, Probability, Seed


@dataclass(config=STRICT)
class EvaluationConfig:
    limit: Count | None = None
    """Use so many images of each data set, balanced over the classes; null: all, or as many as the
    run did where a part of its own data is held out."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share held out without --val, balanced over the classes; null: the run's on its data, else 0.1."""
    on_error: Literal["skip", "stop"] = "skip"
    """What an unreadable image does: skip: it is named and left out; stop: so is the evaluation."""
    max_bad: Probability = 0.01
    """Under on_error=skip, stop when more than this share of a data set's images cannot be read."""
    chunk: Count = 256
    """Images that go through the encoder at once."""
    device: str = "auto"
    """auto: cuda where there is one, else cpu."""
    seed: Seed = 0
    """Of everything random in the evaluation."""
