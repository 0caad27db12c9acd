"""Without any one of their barriers the kernels of csrc/cuda/ are reported."""

import operator
import re
from pathlib import Path

import pytest
import torch

from sslfast.kernels.common import op as lib
from tests.kernels.emulator import build
from tests.kernels.emulator.calls import CALLS
from tests.kernels.emulator.emulated import SANITIZE, Emulator

pytestmark = [
    pytest.mark.long,  # each builds a file of kernels anew
    pytest.mark.skipif(bool(SANITIZE), reason="sanitizers stand in for the search for races"),
]

SOURCES = build.sources("cuda")
# A barrier that also votes leaves each thread its own vote.
BARRIER = re.compile(r"(?:__syncthreads|\bgrid\.sync)\(\);|__syncthreads_and(?=\()")
# (file, position in it) of each.
BARRIERS = [(file, match.start()) for file, text in SOURCES.items() for match in BARRIER.finditer(text)]


def place(barrier):
    file, start = barrier
    return f"{file}:{1 + SOURCES[file].count(chr(10), 0, start)}"


def build_without(barrier, namespace):
    """Builds the kernels of a file without one of its barriers, as operators of a namespace of their own.

    Returns their emulator, and the functions of CALLS that call them.
    """
    file, start = barrier
    own = {name: CALLS[name] for name in Path(file).with_suffix("").parts if name in CALLS}
    calls = own or CALLS  # the barrier of a header of common/ may be any file's
    sources = {path: text for path, text in SOURCES.items() if path.endswith(".cuh") or Path(path).stem in calls}
    nothing = "bool" if SOURCES[file].startswith("__syncthreads_and", start) else ";"
    sources[file] = SOURCES[file][:start] + BARRIER.sub(nothing, SOURCES[file][start:], count=1)
    kept, own = (f"STABLE_TORCH_LIBRARY_IMPL({name}," for name in ("sslfast", namespace))
    path = build.cuda_kernels({path: text.replace(kept, own) for path, text in sources.items()})
    torch.ops.load_library(path)
    return Emulator(path), calls.values()


@pytest.fixture
def namespace(barrier, monkeypatch):
    """Yields a namespace whose operators `impl="cuda"` calls in place of sslfast's."""
    namespace = f"without_barrier_{BARRIERS.index(barrier)}"
    library = torch.library.Library(namespace, "DEF")
    for op in lib.OPS.values():
        if "cuda" in op.impls:
            schema = getattr(torch.ops.sslfast, op.name).cuda._schema
            library.define(str(schema).removeprefix("sslfast::"))
    operators = getattr(torch.ops, namespace)
    monkeypatch.setattr(lib.Op, "call", lambda op, impl, *args: getattr(getattr(operators, op.name), impl)(*args))
    yield namespace
    del library  # and with it its operators


@pytest.mark.long
@pytest.mark.parametrize("barrier", BARRIERS, ids=place)
def test_a_missing_barrier_is_reported(emulator, barrier, namespace):
    changed, calls = build_without(barrier, namespace)
    for seed in range(3):
        changed.configure(seed=seed, processors=2)
        message = "with no barrier between|reads shared memory that nobody has written"
        with pytest.raises(RuntimeError, match=message):
            list(map(operator.call, calls))


def test_there_are_barriers():
    """Else the pattern has missed them."""
    assert len(BARRIERS) == sum(len(re.findall(r"\bsync\(|__sync\w*\(", text)) for text in SOURCES.values()) > 0
