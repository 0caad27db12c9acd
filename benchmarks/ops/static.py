"""What the compiler says of the Triton kernels' launches: compiled, not measured.

`make static` compiles every launch for every architecture and records registers a thread, bytes of shared memory a
block, blocks on a processor at the same time, and instructions of the longest loop, which takes a tile.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslfast.benchmarks.measure.machine import RESULTS
from sslfast.errors import UsageError
from sslfast.hints import nearest

COMPILED = RESULTS / "compiled"  # a file an op
COLUMNS = "registers", "shared", "blocks", "instructions"
HEAD = f"{'op':<24}{'sm':>4}{''.join(f'{column:>14}' for column in COLUMNS)}  launch"


def line(op: str, launch: Mapping[str, Any]) -> str:
    """Writes the line of a launch, below HEAD."""
    return f"{op:<24}{launch['sm']:>4}{''.join(f'{launch[column]:>14}' for column in COLUMNS)}  {launch['launch']}"


def table(op: str | None = None, folder: Path = COMPILED) -> str:
    """Returns the recorded launches of one op's Triton kernels, or of all.

    Raises:
        UsageError: nothing is recorded, as in a package without benchmarks/results/, or not of that op.
    """
    recorded = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not recorded:
        raise UsageError(f"--static: {folder} has no records; `make static` in the source tree makes them")
    if op is not None and op.strip("_") not in recorded:
        hint = nearest(op, recorded, "`sslfast bench --static`")
        raise UsageError(f"--static --op {op}: no op of this name has Triton kernels{hint}")
    chosen = recorded if op is None else {op.strip("_"): recorded[op.strip("_")]}
    notes = dict.fromkeys(f"{content['note']}: {content['compiler']}" for content in chosen.values())
    lines = [line(name, launch) for name, content in chosen.items() for launch in content["launches"]]
    return "\n".join([*notes, HEAD, *lines])
