"""The parts of settings' dataclasses: strict fields, and types that state their range."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator

# Unknown keys are errors; a field's docstring becomes its line in `sslfast pretrain --help PART`.
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    """Returns the bounds as they are; pydantic reports the ValueError where they fall."""
    if bounds[0] > bounds[1]:
        raise ValueError("expected the least first")
    return bounds


def _in_fp32(value: float) -> float:
    """Returns the value as it is; pydantic reports the ValueError where fp32 holds neither it nor its inverse."""
    if not 1e-37 <= value <= 1e37:
        raise ValueError("expected 1e-37 to 1e37, which fp32 can invert")
    return value


def _apart(bounds: tuple[float, float]) -> tuple[float, float]:
    """Returns the bounds as they are; pydantic reports the ValueError where the first is not below the second."""
    if bounds[0] >= bounds[1]:
        raise ValueError("expected the value of black below that of white")
    return bounds


def _extended(region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Returns the region as it is; pydantic reports the ValueError where nothing lies between its edges."""
    top, left, bottom, right = region
    if top >= bottom or left >= right:
        raise ValueError("expected top, left, bottom, right, the top above the bottom and left of right")
    return region


def _of_unit_range(statistics: tuple[float, ...]) -> tuple[float, ...]:
    """Returns the statistics as they are; pydantic reports the ValueError where those of [0, 1] cannot be so."""
    if not all(0 <= value <= 1 for value in statistics):
        raise ValueError(
            "expected statistics of values in [0, 1], to which images are scaled first; divide those of 0 to 255 "
            "by 255"
        )
    return statistics


def _sources(value: Any) -> str | list[str]:
    """Returns the name, or several of them; pydantic reports the ValueError where it is neither."""
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("expected the name or the path of the images, or a list of them")
    return names[0] if len(names) == 1 else names


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
Finite = Annotated[float, Field(allow_inf_nan=False)]
ValueRange = Annotated[tuple[Finite, Finite], AfterValidator(_apart)]
Region = Annotated[tuple[Probability, Probability, Probability, Probability], AfterValidator(_extended)]
Means = Annotated[tuple[float, ...], Field(min_length=1), AfterValidator(_of_unit_range)]
Deviations = Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_of_unit_range)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_rising)]
Sources = Annotated[str | list[str], PlainValidator(_sources)]  # a list: of more than one
