"""The parts of settings' dataclasses: strict fields, and types that state their range."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

# Unknown keys are errors; a field's docstring becomes its line in `sslfast pretrain --help`.
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    """The bounds as they are; pydantic reports the ValueError where they fall."""
    if bounds[0] > bounds[1]:
        raise ValueError("expected the least first")
    return bounds


def _in_fp32(value: float) -> float:
    """The value as it is; pydantic reports the ValueError where fp32 holds neither it nor its inverse."""
    if not 1e-37 <= value <= 1e37:
        raise ValueError("expected 1e-37 to 1e37, which fp32 can invert")
    return value


Probability = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_in_fp32)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Count = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
Side = Annotated[int, Field(ge=1, le=2**14, strict=True)]
CountOrZero = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_rising)]
