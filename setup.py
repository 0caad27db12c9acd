"""Builds the compiled kernels: `_C_cpu` always, `_C_cuda` where nvcc is found.

Both use libtorch's stable ABI and nothing of Python's, so one build serves every torch from 2.10 on and every
Python. They are two modules because one that is linked with CUDA cannot be loaded by a CPU-only torch. Neither
asks for a GPU. A module that cannot be compiled is left out with a warning: the package works without it, and
`sslfast info` says so. SSLFAST_PURE=1 leaves out both, for a wheel that any platform can install.
"""

import glob
import os
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import torch
from setuptools import Extension, setup

TORCH_TARGET = "-DTORCH_TARGET_VERSION=0x020a000000000000"  # torch 2.10
ARCHITECTURES = "8.0;9.0;10.0;12.0+PTX"
WHEELS_CUDA = Path(torch.__file__).parents[1] / "nvidia" / "cu13"  # PyPI's CUDA packages, beside the torch in use


def find_cuda_home() -> str | None:
    """Finds the toolkit's real folder: $CUDA_HOME's, else the one that nvcc on PATH names, else PyPI's nvcc's."""
    if home := os.environ.get("CUDA_HOME"):
        return home
    if nvcc := shutil.which("nvcc"):
        # nvcc on PATH may be a wrapper script elsewhere: only nvcc itself knows where the toolkit lies.
        dryrun = subprocess.run(
            [nvcc, "--dryrun", "-x", "cu", os.devnull], capture_output=True, text=True, check=False
        )
        if top := re.search(r"^#\$ TOP=(.+)$", dryrun.stderr, flags=re.MULTILINE):
            return str(Path(top[1]).resolve())
    return str(WHEELS_CUDA) if (WHEELS_CUDA / "bin" / "nvcc").exists() else None


cuda_home = find_cuda_home()
if cuda_home:
    os.environ["CUDA_HOME"] = cuda_home  # read by torch.utils.cpp_extension when it is imported
os.environ.setdefault("TORCH_CUDA_ARCH_LIST", ARCHITECTURES)

from torch.utils.cpp_extension import BuildExtension, CppExtension, CUDAExtension  # noqa: E402


class BuildWhatCompiles(BuildExtension):
    """Builds the extensions that compile, and leaves the others out with a warning."""

    def build_extensions(self) -> None:
        wanted = self.extensions
        for extension in wanted:  # one at a time: a missing nvcc must not cost the CPU kernels
            self.extensions = [extension]
            try:
                super().build_extensions()
            except Exception as error:  # no compiler, or it fails: distutils and torch raise many types
                warnings.warn(f"{extension.name} was not built: {error}", stacklevel=1)
        self.extensions = wanted


def extensions() -> list[Extension]:
    """Describes `_C_cpu` and, where nvcc and a CUDA build of torch are found, `_C_cuda`."""
    if os.environ.get("SSLFAST_PURE") == "1":
        return []
    headers = str(Path("csrc").resolve())
    flags = ["-O3", "-std=c++20", TORCH_TARGET]
    # Loops are vectorized by `omp simd`, square roots in them if errno is left alone; threads come from torch.
    # Python's own flags ask for debug symbols, nine tenths of the file.
    cxx = [*flags, "-fopenmp-simd", "-fno-math-errno", "-Wall", "-Wno-unknown-pragmas", "-g0"]
    depends = sorted(glob.glob("csrc/**/*.h", recursive=True) + glob.glob("csrc/**/*.cuh", recursive=True))
    common = {"py_limited_api": True, "optional": True, "depends": depends}
    modules = []
    if sources := sorted(glob.glob("csrc/cpu/**/*.cpp", recursive=True)):
        cpu = CppExtension(
            "sslfast._C_cpu", sources, include_dirs=[headers], extra_compile_args={"cxx": cxx}, **common
        )
        modules.append(cpu)
    sources = sorted(glob.glob("csrc/cuda/*.cu"))
    if sources and cuda_home is not None and torch.version.cuda is not None:
        cuda = CUDAExtension(
            "sslfast._C_cuda",
            sources,
            include_dirs=[headers],
            library_dirs=[str(WHEELS_CUDA / "lib")],
            extra_compile_args={"cxx": cxx, "nvcc": [*flags, "-DUSE_CUDA"]},
            **common,
        )
        # A lean toolkit lacks headers that torch includes (cuSPARSE's, ...); the wheels bring them. Last, as those
        # that it has must be nvcc's own.
        cuda.include_dirs.append(str(WHEELS_CUDA / "include"))
        linkable = [
            *Path(cuda_home).glob("lib*/libcudart.so"),
            *Path(cuda_home).glob("targets/*/lib/libcudart.so"),
        ]
        if not linkable:  # PyPI's toolkit, where the library has its major version's name only
            runtime = f":libcudart.so.{torch.version.cuda.split('.')[0]}"
            cuda.libraries = [runtime if name == "cudart" else name for name in cuda.libraries]
        modules.append(cuda)
    return modules


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildWhatCompiles},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
