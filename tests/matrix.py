"""The wheel of `make wheels` with other Pythons and torches, each in a fresh environment: `make matrix`.

A script of examples/ has to run within a minute of the processor there, a run has to be trained and evaluated, and
the op tests have to pass.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "dist"
COMBINATIONS = (("3.10", "torch==2.10.*"), ("3.11", "torch==2.11.*"), ("3.13", "torch"))
NEEDED = ("numpy<2.4", "setuptools<82", "pytest", "hypothesis", "expecttest")  # of the extra `dev`


UV = Path(sys.executable).with_name("uv")  # of the environment that runs this, which need not be on PATH
SCRIPT = ROOT / "examples" / "kernel_in_your_loop.py"
SECONDS = 60  # of processor time that the script may take


def check(wheel: Path, python: str, torch: str, args: list[str]) -> str:
    """Installs a wheel beside a torch, and returns in words what came of it: "passed" where all went well.

    Args:
        wheel: the file.
        python: the version of Python; uv finds it, or fetches it.
        torch: which torch, as pip takes it.
        args: further arguments for pytest.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        interpreter = folder / "env" / "bin" / "python"
        packages = [f"sslfast[train] @ {wheel.as_uri()}", torch, *NEEDED]
        for command in (
            [UV, "venv", "--quiet", "--python", python, folder / "env"],
            [UV, "pip", "install", "--quiet", "--python", interpreter, *packages],
        ):
            if subprocess.run(command, check=False).returncode:
                return "NOT INSTALLED"
        # Beside script and tests is no folder sslfast/, which Python would import in place of the wheel.
        shutil.copytree(ROOT / "tests", folder / "tests")
        shutil.copytree(ROOT / "csrc", folder / "csrc")  # which the tests of "cuda" build for their emulator
        shutil.copy(ROOT / "pyproject.toml", folder)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        script = [interpreter, shutil.copy(SCRIPT, folder), "--steps", "20"]
        if subprocess.run(script, cwd=folder, check=False).returncode:
            return f"FAILED: {SCRIPT.name}"
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{SCRIPT.name}: {seconds:.0f} s of processor time", flush=True)
        if seconds > SECONDS:
            return f"FAILED: {SCRIPT.name} took more than {SECONDS} s"
        program, run = interpreter.with_name("sslfast"), folder / "run"
        for command in (
            [program, "pretrain", "moco_v2_shapes", "--out", run, "data.limit=512", "train.epochs=2"],
            [program, "evaluate", "knn", run, "--data", "shapes"],
        ):
            if subprocess.run(command, cwd=folder, check=False).returncode:
                return f"FAILED: sslfast {command[1]}"
        tests = [interpreter, "-m", "pytest", "tests/kernels", "--ignore=tests/kernels/emulator", *args]
        return "FAILED: tests" if subprocess.run(tests, cwd=folder, check=False).returncode else "passed"


def main() -> None:
    parser = argparse.ArgumentParser(description="All other arguments are pytest's.", allow_abbrev=False)
    parser.add_argument("--python", metavar="VERSION", help="with --torch: this combination in place of all")
    parser.add_argument("--torch", metavar="REQUIREMENT", help="such as torch==2.14.1")
    chosen, args = parser.parse_known_args()
    if (chosen.python is None) != (chosen.torch is None):
        parser.error("give both --python and --torch, or neither")
    (wheel,) = WHEELS.glob("*-abi3-*.whl")
    outcomes = {}
    for python, torch in [(chosen.python, chosen.torch)] if chosen.python else COMBINATIONS:
        print(f"\n{wheel.name}: Python {python}, {torch}", flush=True)
        outcomes[python, torch] = check(wheel, python, torch, args)
    for (python, torch), outcome in outcomes.items():
        print(f"Python {python}, {torch}: {outcome}")
    sys.exit(any(outcome != "passed" for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
