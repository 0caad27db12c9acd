"""Reads the records under benchmarks/results/: makes a table of any of them, and one of when each was made."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sslfast.benchmarks.measure.machine import RESULTS


def recorded() -> dict[str, list[dict[str, Any]]]:
    """Returns what the results files hold, one an op, by the name of their machine."""
    machines: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("*/ops/*.json")):
        machines.setdefault(path.parents[1].name, []).append(json.loads(path.read_text()))
    return machines


def headers() -> str:
    """Returns the table of the records: when and on what each machine's were made."""
    records: dict[tuple[str, str], list[dict[str, str]]] = {}
    for path in sorted(RESULTS.rglob("*.json")):
        machine, record = path.relative_to(RESULTS).parts[:2]
        content = json.loads(path.read_text())
        for header in filter(None, (content.get("header"), content.get("continued"))):
            records.setdefault((machine, record.removesuffix(".json")), []).append(header)
    lines = ["| machine | record | date | device | versions |", "|---" * 5 + "|"]
    for (machine, record), found in sorted(records.items()):
        dates = sorted({header["date"][:10] for header in found})
        devices, versions = (
            ", ".join(dict.fromkeys(header[key] for key in keys for header in found if key in header))
            for keys in (("GPU", "CPU"), ("versions", "other versions"))
        )
        cells = [machine, record, " to ".join(dict.fromkeys([dates[0], dates[-1]])), devices, versions]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_machine(
    file: str,
    columns: Sequence[str],
    rows_of: Callable[[dict[str, Any]], Iterable[Sequence[str]]],
    devices: Sequence[str] = ("CPU", "GPU"),
) -> str:
    """Returns a table of what each machine's record in this file holds; it says where there is none.

    Args:
        columns: their heads, the machine's first.
        rows_of: the cells after the machine's, of a record.
        devices: on which it is meant to be made.
    """
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    missing = list(devices)
    for path in sorted(RESULTS.glob(f"*/{file}")):
        content = json.loads(path.read_text())
        device = "GPU" if "GPU" in content["header"] else "CPU"
        missing = [kind for kind in missing if kind != device]
        machine = path.relative_to(RESULTS).parts[0]
        lines += [f"| {' | '.join([machine, *cells])} |" for cells in rows_of(content)]
    empty = " |" * (len(columns) - 2)
    return "\n".join([*lines, *(f"| {device} | not measured yet |{empty}" for device in missing)])
