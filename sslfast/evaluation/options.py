"""The settings that all evaluations share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Count, Positive, Probability, Seed, ValueRange


@dataclass(config=STRICT)
class EvaluationConfig:
    """The images of an evaluation, and how they are read."""

    limit: Count | None = None
    """Number of images of each data set to use, balanced over the classes; null: all, or as many as the run used
    where a part of its own data is held out."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of --data held out where there is no --val, balanced over the classes; null: the run's on its own
    data, else 0.1; of a bare name such as CIFAR10 none, as its test split is tested."""
    on_error: Literal["skip", "stop"] = "skip"
    """Treatment of unreadable images. skip: they are named and left out; stop: the evaluation stops."""
    max_bad: Probability = 0.01
    """Largest share of a data set's images that may be unreadable under on_error=skip; beyond it the evaluation
    stops."""
    max_unpacked: Positive | None = None
    """Largest size in GiB that an archive may have unpacked; null: 20 times the archive's, and at least 1."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda or cuda:<number>; auto: cuda where there is one, else cpu."""
    seed: Seed = 0
    """Seed of all random numbers of the evaluation."""
    seeds: Count = 1
    """Number of seeds: the evaluation is made with seed, seed + 1, ..., and the table shows mean and standard
    deviation. The random initialization has other weights with each."""


@dataclass(config=STRICT)
class ClassificationConfig(EvaluationConfig):
    """The classes of an evaluation by classes, beside what all evaluations share."""

    classes: str | None = None
    """Classes to use, in this order: a text file with a name a line, imagenet100, or names with commas between;
    null: all, or those of the run where a part of its own data is held out."""
    range: ValueRange | None = None
    """Values that become black and white in images of more than 8 bits, as in data.range of a recipe, for all
    encoders that are judged; null: those of the run."""
    chunk: Count = 256
    """Number of images that go through the encoder at once, where it is not trained."""


@dataclass(config=STRICT)
class FeaturesConfig(ClassificationConfig):
    """The images of an evaluation by features that are computed once, and how these are."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision in which the encoder computes features once. auto: bf16 on a GPU and on a CPU with AVX512-BF16 or
    AMX-BF16, fp16 on a GPU without bf16, else fp32; the result says which it was."""

    def __post_init__(self) -> None:
        from sslfast.device import choose_precision, device_type  # late: it imports torch

        self.precision = choose_precision(self.precision, device_type(self.device))
