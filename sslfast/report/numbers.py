"""The report's way of writing numbers."""

from __future__ import annotations

from sslfast.evaluation.interval import wilson_interval
from sslfast.report.page import Cell


def percent(share: float) -> str:
    """Writes a share in percent, to a tenth."""
    return f"{share:.1%}"


def accuracy(share: float, num_images: int) -> Cell:
    """Writes an accuracy, and below it its 95% interval; none where the number of images is unknown, 0."""
    if not num_images:
        return percent(share), ""
    low, high = wilson_interval(share, num_images)
    return percent(share), f"{100 * low:.1f} to {percent(high)}"


def duration(seconds: float) -> str:
    """Writes a time to its two largest units."""
    total = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if total >= unit:
            return f"{total // unit} {name} {total % unit // part} {part_name}"
    return f"{total} s"
