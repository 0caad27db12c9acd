"""What the dataclasses of recipes are made of: strict fields, and types that state their range."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

# Unknown keys are errors; a field's docstring becomes its line in `sslfast pretrain --help`.
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
