"""The checks of Triton kernels that are compiled ahead of time, for the tests in whichever folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

ARCHITECTURES = (80, 90, 100, 120)


def assert_compiles(launches, *, wgmma=(), wide_offsets=False):
    """Compiles kernels for GPUs that need not be there; asserts that they fit in shared memory and spill nothing.

    Args:
        launches: (name, case of aot.py) of each launch, one or more.
        wgmma: how the names begin of those that have to multiply matrices by Hopper's instruction on sm_90.
        wide_offsets: whether offsets of rows have to be in 64 bits.
    """
    names, cases = zip(*launches, strict=True)
    for name, case, used in zip(names, cases, _resources(cases), strict=True):
        assert used["fits"], f"{name}: {used['shared']} bytes of shared memory"
        assert used["spilled"] == 0, f"{name}: {used['spilled']} bytes of registers spilled"
        if case["arch"] == 90 and name.startswith(wgmma):
            assert used["wgmma"], f"{name}: no wgmma"
        if wide_offsets:
            assert not used["narrow_offsets"], f"{name}: {used['narrow_offsets']}"


def _resources(cases):
    """Returns what aot.py says of each case."""
    # A process of its own: under TRITON_INTERPRET=1 `triton.jit` makes kernels that cannot be compiled.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name("aot.py")],
        input=json.dumps(cases),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
