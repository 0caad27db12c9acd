"""Builds kernels with plain g++, each object kept under build/emulator/ until what it is made of changes.

`cuda_kernels` builds CUDA C++ for the emulator; `cpu_kernels` builds the C++ kernels, for sanitizers.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.utils.cpp_extension import include_paths, library_paths

from tests.kernels.emulator.translate import translate

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CACHE = ROOT / "build" / "emulator"
FLAGS = [
    "-std=c++20",
    "-O1",
    "-fPIC",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-DTORCH_TARGET_VERSION=0x020b000000000000",
]
# Nothing of one library is to be taken for another's; _FORTIFY_SOURCE would refuse to jump from stack to stack.
EMULATED = ["-DUSE_CUDA", "-fvisibility=hidden", "-fno-gnu-unique", "-U_FORTIFY_SOURCE"]
RACES = ["-fsanitize=thread"]  # of the kernels alone, without its library: see src/races.h
# setup.py's, without the clones for several CPUs, which are chosen before a sanitizer can run.
CPU = ["-fopenmp-simd", "-fno-math-errno", "-Dtarget_clones(...)="]
TORCH = [*(f"-L{path}" for path in library_paths()), "-ltorch", "-ltorch_cpu", "-lc10"]


def missing() -> str | None:
    """Says why nothing can be built here, or None."""
    if shutil.which("g++") is None:
        return "needs g++, to build the emulator of CUDA"
    if not any(Path(path, "torch/csrc/stable/library.h").exists() for path in include_paths()):
        return "needs torch's headers, to build the emulator of CUDA"
    return None


def sources(folder: str) -> dict[str, str]:
    """Reads the text of each file in a folder of csrc/, by its path from csrc/."""
    files = sorted(path for path in (ROOT / "csrc" / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT / "csrc")): path.read_text() for path in files}


def cuda_kernels(cuda: Mapping[str, str], *, torch_ops: bool = True, sanitize: str = "") -> Path:
    """Builds CUDA C++ for the emulator into a shared library; returns its path.

    Args:
        cuda: the text of each .cu and .cuh file, by the path under which others include it.
        torch_ops: whether the files are written against torch.
        sanitize: sanitizers as -fsanitize takes them, which then stand in for the emulator's search for races.
    """
    sanitizers = _sanitizers(sanitize)
    runtime = {path.name: path.read_text() for path in sorted((HERE / "src").iterdir())}
    if not torch_ops:
        del runtime["torch.cpp"]
    objects = _objects(runtime, [*FLAGS, *EMULATED, *sanitizers, "-O2"])
    translated = {name: translate(text, name) for name, text in cuda.items()}
    objects += _objects(translated, [*FLAGS, *EMULATED, *(sanitizers or RACES)])
    return _linked("emulated.so", objects, [*sanitizers, *(TORCH if torch_ops else [])])


def cpu_kernels(sanitize: str) -> Path:
    """Builds the module `_C_cpu` with sanitizers, and returns its path; its threads are those of threads.cpp under
    ThreadSanitizer."""
    texts = sources("cpu")
    if sanitize == "thread":
        texts["threads.cpp"] = (HERE / "threads.cpp").read_text()
    objects = _objects(texts, [*FLAGS, *CPU, *_sanitizers(sanitize)])
    return _linked("_C_cpu.abi3.so", objects, [*_sanitizers(sanitize), *TORCH])


def _sanitizers(names: str) -> list[str]:
    return [f"-fsanitize={names}", "-fno-sanitize-recover=undefined", "-g1"] if names else []


def _objects(texts: Mapping[str, str], flags: Sequence[str]) -> list[Path]:
    """Compiles an object of each of the files that is no header."""
    headers = [*(HERE / "include").rglob("*.h"), *(ROOT / "csrc" / "common").rglob("*.h")]
    with _folder(flags, sorted(texts.items()), [path.read_text() for path in sorted(headers)]) as folder:
        units = [name for name in texts if not name.endswith((".h", ".cuh"))]
        objects = [folder / Path(name).with_suffix(".o") for name in units]
        if not (folder / "complete").exists():
            for name, text in texts.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
            paths = [f"-I{path}" for path in (folder, HERE / "include", ROOT / "csrc", *include_paths())]
            named = f"-ffile-prefix-map={folder}/="  # in what sanitizers say
            commands = [
                ["g++", *flags, named, *paths, "-x", "c++", "-c", folder / name, "-o", target]
                for name, target in zip(units, objects, strict=True)
            ]
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                list(pool.map(_run, commands))
            (folder / "complete").touch()
    return objects


def _linked(name: str, objects: Sequence[Path], flags: Sequence[str]) -> Path:
    with _folder(name, objects, flags) as folder:
        if not (folder / "complete").exists():
            # Functions that torch has too are these files' own for them.
            _run(["g++", "-shared", "-Wl,-Bsymbolic-functions", *objects, *flags, "-o", folder / name])
            (folder / "complete").touch()
    return folder / name


@contextlib.contextmanager
def _folder(*inputs: object) -> Iterator[Path]:
    """Yields a folder for what is made of the inputs; one process at a time has it."""
    version = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256(repr((version, torch.__version__, inputs)).encode()).hexdigest()[:16]
    folder = CACHE / key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _run(command: Sequence[object]) -> None:
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{result.stderr}")
