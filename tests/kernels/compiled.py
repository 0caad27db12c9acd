"""The checks of Triton kernels that are compiled ahead of time, for the tests in whichever folder."""

import json
import os
import subprocess
import sys
from pathlib import Path


def assert_compiles(launches, *, wgmma=(), streams=(), specialized=(), wide=(), wide_offsets=False):
    """Compiles kernels for GPUs that need not be there, and asserts what their code has to be.

    They fit in shared memory, spill nothing, run in as many blocks on a processor as is meant, multiply nothing in
    TF32, take as many powers of two as is meant, and Hopper's products do not wait for one another.

    Args:
        launches: (name, case of aot.py) of each launch, one or more.
        wgmma: how the names begin of those that have to multiply matrices by Hopper's instruction on sm_90.
        streams: how the names begin of those that have to copy the next tile while they work on one.
        specialized: how the names begin of those in which warps of their own have to copy tiles by TMA.
        wide: how the names begin of those that have to load their matrices by 16 bytes a thread.
        wide_offsets: whether offsets of rows have to be in 64 bits.

    Returns:
        What aot.py says of each launch.
    """
    names, cases = zip(*launches, strict=True)
    resources = _resources(cases)
    for name, case, used in zip(names, cases, resources, strict=True):
        name = f"{name}, sm_{case['arch']}"
        assert not used["tf32"], f"{name}: products in TF32"
        assert used["fits"], f"{name}: {used['shared']} bytes of shared memory"
        assert used["spilled"] == 0, f"{name}: {used['spilled']} bytes of registers spilled"
        assert not used["serialized"], f"{name}: {used['serialized']}"
        meant = case.get("blocks", 1)
        assert used["blocks"] >= meant, f"{name}: {used['blocks']} blocks on a processor, not {meant}"
        if powers := case.get("powers"):
            found = used["powers"]
            assert 0 < found <= powers, f"{name}: {found} powers of two a thread and tile, not {powers}"
        if case["arch"] == 90 and name.startswith(wgmma):
            assert used["wgmma"], f"{name}: no wgmma"
        if name.startswith(streams):
            assert used["in_flight"], f"{name}: no copies to shared memory"
            assert used["in_flight"] > [0], f"{name}: its loop waits for every copy that is under way"
        if name.startswith(specialized):
            assert used["specialized"], f"{name}: no warps of their own that copy tiles by TMA"
            assert not used["pending"], f"{name}: tiles may be overwritten while they are multiplied"
        if name.startswith(wide):
            loads = {int(width): count for width, count in used["loads"].items()}
            narrow = sum(width * count for width, count in loads.items() if width <= 4)
            assert 16 * loads.get(16, 0) > narrow, f"{name}: loads by bytes a thread {used['loads']}"
        if wide_offsets:
            assert not used["narrow_offsets"], f"{name}: {used['narrow_offsets']}"
    return resources


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
