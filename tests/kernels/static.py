"""What the compiler says of every launch of the Triton kernels, for every architecture: `make static`.

It asserts of each what test_launches.py asserts for one architecture, and writes to benchmarks/results/compiled/
registers a thread, bytes of shared memory a block, blocks on a processor at the same time, and instructions of the
longest loop. Arguments name ops; without them, all are compiled, about 5 minutes on 1 core.
"""

import json
import sys
from pathlib import Path

import triton

from tests.kernels.compiled import ARCHITECTURES
from tests.kernels.launches import launches

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "compiled"
COLUMNS = "registers", "shared", "blocks", "instructions"


def main(names: list[str]) -> None:
    """Compiles the launches of the ops of these names, or of all, and writes a file an op."""
    ops = launches()
    if unknown := set(names) - ops.keys():
        sys.exit(f"static: expected names out of {', '.join(ops)}, got {', '.join(sorted(unknown))}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    print(f"{'op':<24}{'sm':>4}{''.join(f'{column:>14}' for column in COLUMNS)}  launch")
    for name in names or ops:
        rows = []
        for arch in ARCHITECTURES:
            for launch, case, used in ops[name].compile(arch):
                numbers = {column: used[column] for column in COLUMNS}
                rows.append({"launch": launch, "kernel": case["kernel"].split(":")[1], "sm": arch} | numbers)
                print(
                    f"{name:<24}{arch:>4}{''.join(f'{used[column]:>14}' for column in COLUMNS)}  {launch}",
                    flush=True,
                )
        content = {"compiler": f"triton {triton.__version__}", "note": "compiled, not measured", "launches": rows}
        (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
