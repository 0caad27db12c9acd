"""The compiler vectorizes every loop of the C++ kernels that is marked `omp simd`, for AVX2 and for AVX-512.

It says nothing where it does not, and the results are the same: only slower, once by a factor of three.
"""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from torch.utils.cpp_extension import include_paths

ROOT = Path(__file__).resolve().parents[2]
MARK = "#pragma omp simd"
MARKED = sorted(path for path in (ROOT / "csrc" / "cpu").rglob("*.cpp") if MARK in path.read_text())
# Those of setup.py that loops depend on.
FLAGS = ["-O3", "-std=c++20", "-DTORCH_TARGET_VERSION=0x020a000000000000", "-fopenmp-simd", "-fno-math-errno"]
AVX2, AVX512 = 32, 64  # bytes of a vector


def makes_clones() -> bool:
    """Tells whether functions are compiled here for several CPUs: csrc/cpu/common/simd.h has the condition."""
    if platform.machine() != "x86_64" or shutil.which("g++") is None:
        return False
    version = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return int(version.split(".")[0]) >= 12


def vector_widths(path: Path, folder: Path) -> dict[int, set[int]]:
    """Compiles a file; returns the bytes of the vectors that each of its vectorized lines takes, by its number."""
    includes = [f"-I{name}" for name in (ROOT / "csrc", *include_paths())]
    told = ["-fPIC", "-fopt-info-vec-optimized", "-c", path, "-o", folder / "kernels.o"]
    command = ["g++", *FLAGS, *includes, *told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    widths: dict[int, set[int]] = {}
    pattern = rf"{re.escape(str(path))}:(\d+):\d+: optimized: loop vectorized using (\d+) byte vectors"
    for line, width in re.findall(pattern, done.stderr):
        widths.setdefault(int(line), set()).add(int(width))
    return widths


def marked_loops(lines: Sequence[str]) -> Iterator[range]:
    """Yields the numbers of each marked loop's lines, from the mark to the end of its body."""
    for mark, line in enumerate(lines, 1):
        if MARK in line:
            indent = re.match(" *", lines[mark])[0]
            has_braces = lines[mark].endswith("{")
            end = lines.index(indent + "}", mark) + 1 if has_braces else mark + 1
            yield range(mark, end + 1)


@pytest.mark.skipif(not makes_clones(), reason="needs GCC 12 or newer on x86-64")
@pytest.mark.parametrize("path", MARKED, ids=lambda path: path.stem)
def test_loops_are_vectorized(path, tmp_path):
    widths = vector_widths(path, tmp_path)
    lines = path.read_text().splitlines()
    for loop in marked_loops(lines):
        first = lines[loop[1] - 1]
        expected = {16} if "c < 4;" in first else {AVX2, AVX512}  # four floats are one vector
        found = set().union(*(widths.get(number, set()) for number in loop))
        assert expected <= found, f"line {loop[1]}: {first.strip()}: vectors of {sorted(found) or 'no'} bytes"
