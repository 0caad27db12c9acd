"""The op tests on the wheel of `make wheels`, with other Pythons and torches: `make matrix`."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "dist"
COMBINATIONS = (("3.10", "torch==2.10.*"), ("3.11", "torch==2.11.*"), ("3.13", "torch"))
NEEDED = ("numpy<2.4", "setuptools<82", "pytest", "hypothesis", "expecttest")  # of the extra `dev`


def check(wheel: Path, python: str, torch: str, args: list[str]) -> bool:
    """Installs a wheel beside a torch, and returns whether the op tests pass on it.

    Args:
        wheel: the file.
        python: the version of Python; uv finds it, or fetches it.
        torch: which torch, as pip takes it.
        args: further arguments for pytest.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        interpreter = folder / "env" / "bin" / "python"
        subprocess.run(["uv", "venv", "--quiet", "--python", python, folder / "env"], check=True)
        packages = [f"sslfast[train] @ {wheel.as_uri()}", torch, *NEEDED]
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", interpreter, *packages], check=True)
        # Beside these tests is no folder sslfast/, which Python would import in place of the wheel.
        shutil.copytree(ROOT / "tests", folder / "tests")
        shutil.copy(ROOT / "pyproject.toml", folder)
        tests = [interpreter, "-m", "pytest", "tests/kernels", "--ignore=tests/kernels/emulator", *args]
        return subprocess.run(tests, cwd=folder, check=False).returncode == 0


def main() -> None:
    (wheel,) = WHEELS.glob("*-abi3-*.whl")
    passed = {}
    for python, torch in COMBINATIONS:
        print(f"\n{wheel.name}: Python {python}, {torch}", flush=True)
        passed[python, torch] = check(wheel, python, torch, sys.argv[1:])
    for (python, torch), ok in passed.items():
        print(f"Python {python}, {torch}: {'passed' if ok else 'FAILED'}")
    sys.exit(not all(passed.values()))


if __name__ == "__main__":
    main()
