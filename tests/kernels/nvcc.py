"""Compiles a file of csrc/cuda/ for GPUs that need not be there, and reads what ptxas says of it."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import triton
from torch.utils.cpp_extension import CUDA_HOME, include_paths

ROOT = Path(__file__).parents[2]


def find_nvcc() -> str | None:
    home = shutil.which("nvcc", path=f"{CUDA_HOME}/bin") if CUDA_HOME else None
    return home or shutil.which("nvcc")


def compile_for(architecture: int, source: str, output: Path) -> str:
    """Compiles the device code of csrc/<source>; returns what the compiler said."""
    includes = [ROOT / "csrc", *include_paths("cuda")]
    # What nvcc's own folder lacks is in torch's packages: after it, as headers and compiler must be of one age.
    wheels = Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "include"
    command = [
        find_nvcc(), "-cubin", f"-arch=sm_{architecture}", "-O3", "-std=c++20", "-DUSE_CUDA",
        "-DTORCH_TARGET_VERSION=0x020b000000000000", "-Xptxas", "-v,-warn-spills,-warn-lmem-usage",
        *(f"-I{path}" for path in includes), "-isystem", wheels, ROOT / "csrc" / source, "-o", output,
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def instructions(cubin: Path) -> str:
    """Disassembles what `compile_for` wrote, by the program that comes with Triton."""
    command = [Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "nvdisasm", "-c", cubin]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def spilled_bytes(log: str) -> int:
    """Counts the bytes of registers that a compilation's kernels spill to memory; at least one is there."""
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert spills, log
    return sum(int(stores) + int(loads) for stores, loads in spills)
