"""What the compiler says of every launch of the Triton kernels, for every architecture: `make static`.

It asserts of each what test_launches.py asserts for one architecture, and writes to benchmarks/results/compiled/
registers a thread, bytes of shared memory a block, blocks on a processor at the same time, and instructions of the
longest loop, which `sslfast bench --static` shows. Arguments name ops; without them, all are compiled, about 5
minutes on 1 core.
"""

import json
import sys

import triton

from sslfast.benchmarks.ops.static import COLUMNS, COMPILED, HEAD, line
from tests.kernels.architectures import ARCHITECTURES
from tests.kernels.launches import launches


def main(names: list[str]) -> None:
    """Compiles the launches of the ops of these names, or of all, and writes a file an op."""
    ops = launches()
    if unknown := set(names) - ops.keys():
        sys.exit(f"static: expected names out of {', '.join(ops)}, got {', '.join(sorted(unknown))}")
    COMPILED.mkdir(parents=True, exist_ok=True)
    print(HEAD)
    for name in names or ops:
        rows = []
        for arch in ARCHITECTURES:
            for launch, case, used in ops[name].compile(arch):
                numbers = {column: used[column] for column in COLUMNS}
                rows.append({"launch": launch, "kernel": case["kernel"].split(":")[1], "sm": arch} | numbers)
                print(line(name, rows[-1]), flush=True)
        content = {"compiler": f"triton {triton.__version__}", "note": "compiled, not measured", "launches": rows}
        (COMPILED / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
