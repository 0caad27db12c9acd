"""The wheel of `make wheels` with other Pythons and torches, each in a fresh environment: `make matrix`.

A script of examples/ has to run within a minute there, and the op tests have to pass.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "dist"
COMBINATIONS = (("3.10", "torch==2.10.*"), ("3.11", "torch==2.11.*"), ("3.13", "torch"))
NEEDED = ("numpy<2.4", "setuptools<82", "pytest", "hypothesis", "expecttest")  # of the extra `dev`


SCRIPT = ROOT / "examples" / "kernel_in_your_loop.py"
SECONDS = 60  # that the script may take


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
            ["uv", "venv", "--quiet", "--python", python, folder / "env"],
            ["uv", "pip", "install", "--quiet", "--python", interpreter, *packages],
        ):
            if subprocess.run(command, check=False).returncode:
                return "NOT INSTALLED"
        # Beside script and tests is no folder sslfast/, which Python would import in place of the wheel.
        shutil.copytree(ROOT / "tests", folder / "tests")
        shutil.copy(ROOT / "pyproject.toml", folder)
        start = time.perf_counter()
        script = [interpreter, shutil.copy(SCRIPT, folder), "--steps", "40"]
        if subprocess.run(script, cwd=folder, check=False).returncode:
            return f"FAILED: {SCRIPT.name}"
        seconds = time.perf_counter() - start
        print(f"{SCRIPT.name}: {seconds:.0f} s", flush=True)
        if seconds > SECONDS:
            return f"FAILED: {SCRIPT.name} took more than {SECONDS} s"
        tests = [interpreter, "-m", "pytest", "tests/kernels", "--ignore=tests/kernels/emulator", *args]
        return "FAILED: tests" if subprocess.run(tests, cwd=folder, check=False).returncode else "passed"


def main() -> None:
    (wheel,) = WHEELS.glob("*-abi3-*.whl")
    outcomes = {}
    for python, torch in COMBINATIONS:
        print(f"\n{wheel.name}: Python {python}, {torch}", flush=True)
        outcomes[python, torch] = check(wheel, python, torch, sys.argv[1:])
    for (python, torch), outcome in outcomes.items():
        print(f"Python {python}, {torch}: {outcome}")
    sys.exit(any(outcome != "passed" for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
