"""The lines of a run's metrics.jsonl, as they are read back."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from sslfast.errors import UsageError

FORMER_KNN = "knn_random_top1"  # the name that knn_initial_top1 has in the files of an earlier sslfast

log = logging.getLogger(__name__)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads the lines of a metrics.jsonl: {"step": int, "epoch": float, ...}, whose further values are numbers.

    A last line without its end, as a killed run leaves it, is passed over, and with a warning every other that is
    no such line. Without the file there are none.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        *ended, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path}: cannot read the metrics: {error.strerror}") from error
    lines = [values for line in ended if (values := _parse(line)) is not None]
    if damaged := len(ended) - len(lines):
        log.warning("%s: passed over %d of its %d lines, as damaged", path, damaged, len(ended))
    return lines


def _parse(line: str) -> dict[str, Any] | None:
    """Parses the values of a line; None where it is damaged."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not {"step", "epoch"} <= values.keys():
        return None
    if FORMER_KNN in values:
        values["knn_initial_top1"] = values.pop(FORMER_KNN)
    step, epoch = values["step"], values["epoch"]
    if not all(_is_number(value) for value in values.values()) or type(step) is not int or step < 0:
        return None
    return values if math.isfinite(epoch) and epoch >= 0 else None


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)
