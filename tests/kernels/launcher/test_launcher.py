"""Triton's kernels are launched without a GPU: by its launcher, on a stand-in for CUDA's driver.

The interpreter has no limits, and compilation ahead of time is of chosen launches. Here the public functions
choose and launch, for a GPU that is named: how Triton specializes the arguments, compiles for them and asks for a
grid is what it does on that GPU.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.launcher.calls import CALLS

triton = pytest.importorskip("triton")
HERE = Path(__file__).parent
HEADERS = Path(triton.__file__).parent / "backends" / "nvidia" / "include"
GPUS = {  # capability, processors, bytes of shared memory that a block may have
    "H200": (90, 132, 232448),
    "A100": (80, 108, 166912),
    "B200": (100, 148, 232448),
    "RTX 5090": (120, 170, 101376),
}
WITH_TMA = ("H200", "B200")
NAMES = {
    op: [name for name in CALLS if name.split()[0] == op] for op in sorted({name.split()[0] for name in CALLS})
}

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc, for the stand-in and the launcher"),
    pytest.mark.skipif(
        not triton.__version__.startswith("3.6."), reason="the stand-in is of the driver that Triton 3.6 asks for"
    ),
]


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """Builds the stand-in, by the name of CUDA's library."""
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", f"-I{HEADERS}", HERE / "driver.c"]
    subprocess.run([*command, "-o", library], check=True)
    library.with_suffix("").symlink_to(library)
    return library


def launched(driver, gpu, names):
    """Makes calls; returns the program's outcome."""
    capability, processors, shared_memory = map(str, gpu)
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"GPU_CAPABILITY": capability, "GPU_PROCESSORS": processors, "GPU_SHARED_MEMORY": shared_memory}
    environment |= {"GPU_DRIVER": str(driver), "TRITON_LIBCUDA_PATH": str(driver.parent)}
    environment["TRITON_CACHE_DIR"] = str(driver.parent / "cache")
    return subprocess.run(
        [sys.executable, "-m", "tests.kernels.launcher.program", *names],
        env=environment,
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def assert_taken(driver, gpu, names):
    """Asserts that each of the calls launches kernels, and that the GPU would take them."""
    outcome = launched(driver, GPUS[gpu], names)
    assert outcome.returncode == 0, outcome.stderr
    counts = json.loads(outcome.stdout)
    assert all(sum(counts[name].values()) > 0 for name in names), counts


@pytest.mark.parametrize("op", NAMES)
def test_a_gpu_would_take_every_launch(driver, op):
    """Of extreme sizes, and of the contract's in fp16; in the long form in every dtype, and on every GPU."""
    assert_taken(driver, "H200", [name for name in NAMES[op] if "float32" not in name and "bfloat16" not in name])


@pytest.mark.long
@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("op", NAMES)
def test_every_gpu_would_take_every_launch(driver, op, gpu):
    assert_taken(driver, gpu, [name for name in NAMES[op] if gpu in WITH_TMA or "tma" not in name])


def test_a_block_with_more_shared_memory_than_there_is_is_refused(driver):
    outcome = launched(driver, (90, 132, 1024), ["info_nce of torch.float16 by triton"])
    assert outcome.returncode != 0
    assert "out of resource: shared memory" in outcome.stderr


def test_a_grid_that_no_gpu_would_take_is_refused(driver):
    """In a process of its own: another library of that name could not be loaded in this one any more."""
    script = f"""
import ctypes
launch = ctypes.CDLL({str(driver)!r}).cuLaunchKernelEx
for grid in ((2**31 - 1, 65535, 65535), (1, 65536, 1), (1, 1, 65536), (0, 1, 1)):
    sizes = (ctypes.c_uint * 16)(*grid, 128, 1, 1, 1024)  # the grid, the block, its shared memory
    print(launch(sizes, None, None, None))
"""
    environment = os.environ | {"GPU_SHARED_MEMORY": "1024"}
    outcome = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == ["0", "1", "1", "1"]
