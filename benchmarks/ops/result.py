"""Writes the results of a benchmark to files."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

OURS = ("cpp", "triton", "cuda", "auto")  # the providers that are our implementations, and our choice among them


@dataclass(frozen=True)
class OpResult:
    """Holds one provider's result for one pass of one case. A field that is None is unknown, or out of memory."""

    op: str
    case: str
    parameters: dict[str, int | str]  # the case's fields: its dimensions, and the others as text
    pass_name: str
    provider: str
    milliseconds: float | None  # the median call
    speedup: float | None  # eager's time / this
    noise: float | None  # by what share that of two equal providers would differ from 1, in 19 of 20 cases at most
    lead: float | None  # the best other provider's time / this, where ours are no rivals of each other
    floor: float | None  # the least time / this: 1 is perfect
    calls: int
    extra_bytes: int | None  # at the peak
    host_microseconds: float | None  # on a GPU: until the call returns
    launches: int | None  # on a GPU


def write_json(path: Path, header: dict[str, str], results: Sequence[OpResult]) -> None:
    files = {path: list(results)}
    if path.is_dir():
        ops = dict.fromkeys(result.op for result in results)
        files = {path / f"{op.strip('_')}.json": [r for r in results if r.op == op] for op in ops}
    for file, of_file in files.items():
        content = {"header": header, "results": [asdict(result) for result in of_file]}
        file.write_text(json.dumps(content, indent=1) + "\n")


def write_csv(path: Path, results: Sequence[OpResult]) -> None:
    columns = [field.name for field in fields(OpResult) if field.name != "parameters"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)


def parameters(case: Any) -> dict[str, int | str]:
    """Returns the fields of a case that is a dataclass: whole numbers, the others as text."""
    values = asdict(case) if is_dataclass(case) and not isinstance(case, type) else {}
    return {name: value if type(value) is int else str(value) for name, value in values.items()}
