"""The record of `make bench-train`, which is filled method by method, and its table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sslfast.errors import UsageError
from sslfast.run.atomic import atomic_write

OURS, IN_FP32 = "sslfast", "sslfast, fp32"
OF_A_RUN = {"date", "commit", "command"}  # keys of a header that may differ among the results of a file


@dataclass(frozen=True)
class TrainResult:
    """The time and memory that one pipeline's training step of a method takes in a case."""

    case: str
    method: str
    pipeline: str  # OURS, IN_FP32, or a package
    batch: int
    milliseconds: float | None  # the median step; None: out of memory
    images_per_second: float | None
    overhead: float | None  # of ours: the share of the step outside the networks
    peak_bytes: int | None  # parameters, their gradients, the optimizer's state, buffers, and what a step adds
    calls: int
    commit: str
    optimizer: float | None = None  # of ours: the share of the step after the gradient, unknown in older records


class TrainRecord:
    """The results in a JSON file; a method that is measured again takes the place of what it was.

    Args:
        path: the file, read if it exists; None: nothing is written.
        header: what the results depend on, see `machine.describe`.

    Raises:
        UsageError: the file's folder does not exist, or it holds results of another machine or other versions.
    """

    def __init__(self, path: Path | None, header: dict[str, str]) -> None:
        self.path, self.header = path, header
        self.results: list[TrainResult] = []
        if path is None:
            return
        if not path.absolute().parent.is_dir():
            raise UsageError(f"--json {path}: expected a file in a folder that exists")
        if path.exists():
            content = json.loads(path.read_text())
            for key in (header.keys() | content["header"].keys()) - OF_A_RUN:
                before, now = content["header"].get(key), header.get(key)
                if before != now:
                    raise UsageError(
                        f"--json {path}: holds results with {key} {before!r}, and here it is {now!r}; "
                        "choose another file, or remove it"
                    )
            self.results = [TrainResult(**result) for result in content["results"]]

    def add(self, results: Sequence[TrainResult]) -> None:
        """Adds all results of a method in a case, in place of earlier ones. The file is replaced as a whole."""
        new = {(result.case, result.method) for result in results}
        others = [result for result in self.results if (result.case, result.method) not in new]
        self.results = sorted([*others, *results], key=lambda result: (result.case, result.method))
        if self.path is not None:
            content = {"header": self.header, "results": [asdict(result) for result in self.results]}
            with atomic_write(self.path) as file:
                file.write((json.dumps(content, indent=1) + "\n").encode())


HEAD = (
    f"{'method':<20}{'pipeline':<15}{'ms':>10}{'images/s':>11}{'x ours':>9}"
    f"{'overhead':>10}{'optimizer':>11}{'MiB':>9}"
)


def lines(results: Sequence[TrainResult]) -> Iterator[str]:
    """Yields the lines of a method's results, for a terminal."""

    def cell(value: float | None, form: str) -> str:
        return "-" if value is None else form.format(value)

    base = next(r.images_per_second for r in results if r.pipeline == OURS)
    for r in results:
        ratio = r.images_per_second / base if r.images_per_second and base else None
        yield (
            f"{r.method:<20}{r.pipeline:<15}{cell(r.milliseconds, '{:.1f}').replace('-', 'OOM'):>10}"
            f"{per_second(r.images_per_second):>11}{cell(ratio, '{:.2f}'):>9}"
            f"{cell(r.overhead, '{:.0%}'):>10}{cell(r.optimizer, '{:.1%}'):>11}"
            f"{cell(r.peak_bytes and r.peak_bytes / 2**20, '{:,.0f}'):>9}"
        )


def per_second(rate: float | None) -> str:
    """Writes images per second, to a tenth below 100."""
    if rate is None:
        return "-"
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
