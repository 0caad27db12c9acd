"""The kernels' tests under sanitizers: `make sanitize`, about 10 minutes on 2 cores.

First the C++ kernels, and the CUDA C++ kernels on the emulator, under AddressSanitizer and
UndefinedBehaviorSanitizer; then the threads of the C++ kernels under ThreadSanitizer. Arguments go to pytest, of
which this module is a plugin too: it puts a build of `_C_cpu` in the place of the installed one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = "SANITIZED_MODULE"  # the variable with the path of a `_C_cpu`
# Not what compilers say, nor what is compiled while it runs.
TESTS = "({}) and not (spills or ahead_of_time or launches or compiles or graph_break)"


def main() -> int:
    return run_tests(
        "address,undefined",
        libraries=["asan", "ubsan"],
        tests=TESTS.format("cpp or cuda or emulator"),
        ASAN_OPTIONS="detect_leaks=0",  # Python's own
        UBSAN_OPTIONS="print_stacktrace=1",
    ) or run_tests(
        "thread",
        libraries=["tsan"],
        tests=TESTS.format("cpp"),
        launcher=["setarch", "-R"],  # the addresses that it needs must be free
        OMP_NUM_THREADS="1",  # threads.cpp has others
    )


def run_tests(
    sanitize: str, *, libraries: list[str], tests: str, launcher: list[str] | None = None, **variables: str
) -> int:
    """Builds the kernels with sanitizers and runs tests; returns pytest's exit code, or the sanitizer's."""
    from tests.kernels.emulator import build

    if reason := build.missing():
        print(f"sanitize: {reason}", file=sys.stderr)
        return 2
    environment = os.environ | variables | {MODULE: str(build.cpu_kernels(sanitize)), "CUDA_VISIBLE_DEVICES": ""}
    if sanitize != "thread":
        environment["EMULATOR_SANITIZE"] = sanitize
        build.cuda_kernels(build.sources("cuda"), sanitize=sanitize)  # not under the sanitizers
    environment["LD_PRELOAD"] = " ".join(map(_library, libraries))
    # Sanitizers write to the process's stderr, which pytest would keep from a process that they end.
    command = [sys.executable, "-m", "pytest", "-q", "--capture=sys", "-p", __spec__.name]
    prefix = launcher if launcher and shutil.which(launcher[0]) else []
    print(f"sanitize: tests of the kernels with -fsanitize={sanitize}", flush=True)
    return subprocess.run(
        [*prefix, *command, "tests/kernels", "-k", tests, *sys.argv[1:]], env=environment, check=False
    ).returncode


def _library(name: str) -> str:
    command = ["g++", f"-print-file-name=lib{name}.so"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Sets up the sanitized module, before anything imports the kernels."""
    import sslfast
    from tests.kernels import accuracy

    sslfast.__path__.insert(0, str(Path(os.environ[MODULE]).parent))
    # Loops that sanitizers keep from being vectorized sum in another order, and less exactly.
    accuracy.assert_accurate = lambda *_: None


if __name__ == "__main__":
    sys.exit(main())
