"""What `make gpu-check` needs beside PyTorch, as wheels for a machine that cannot fetch them: `make gpu-pack`.

Puts into a folder, at the versions of requirements.lock, a wheel of every package that sslfast and the check's
tests need and the machine lacks; then checks that the folder is complete: that each wheel can be installed for the
machine's Python, and that whatever a wheel requires is in the folder or on the machine. There:

    python3 -m pip install --no-index --no-deps --target site gpu-pack/*.whl
    PYTHONPATH=site python3 -m sslfast.benchmarks.gpu_check
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from email.parser import Parser
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

HERE = Path(__file__).resolve().parents[1]
PLATFORMS = [*(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)), "manylinux2014_x86_64"]
PLATFORMS += ["manylinux2010_x86_64", "manylinux1_x86_64"]
ROOTS = (
    *("torch", "numpy", "torchvision", "pillow", "pydantic", "pyyaml", "safetensors", "tqdm"),  # of sslfast[train]
    *("matplotlib", "scikit-learn", "tensorboard"),  # plots, the report and logs, which tests import
    *("pytest", "pytest-xdist", "pytest-benchmark", "hypothesis", "expecttest"),
)


def environment(python: str) -> dict[str, str]:
    """Returns what markers of requirements ask for on the machine."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
        "extra": "",
    }


def required(requirements: Iterable[str], python: str) -> Iterator[Requirement]:
    """Yields those of the requirements that hold for the machine."""
    for line in requirements:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            yield requirement


def needed(roots: Iterable[str], present: Collection[str], python: str) -> set[str]:
    """Finds the packages that the roots need, directly or not, by what is installed here, less those present."""
    found: set[str] = set()
    waiting = [canonicalize_name(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in present:
            found.add(name)
            requirements = metadata.requires(name) or []
            waiting += [canonicalize_name(requirement.name) for requirement in required(requirements, python)]
    return found


def locked(python: str) -> dict[str, str]:
    """Reads the versions of requirements.lock for the machine, by canonical name."""
    lines = (HERE / "requirements.lock").read_text().splitlines()
    pinned = (line.removesuffix(" \\") for line in lines if line and line[0] != " ")  # without the hashes
    return {canonicalize_name(r.name): str(r.specifier) for r in required(pinned, python)}


def missing(folder: Path, roots: Iterable[str], present: Collection[str], python: str) -> list[str]:
    """Says what a folder of wheels lacks, in words: packages, and wheels that the machine's Python takes."""
    version = tuple(map(int, python.split(".")))
    taken: set[Tag] = {*cpython_tags(version, platforms=PLATFORMS), *compatible_tags(version, platforms=PLATFORMS)}
    wheels = {parse_wheel_filename(path.name)[0]: path for path in sorted(folder.glob("*.whl"))}
    problems = [
        f"{path.name} is not for Python {python} on Linux"
        for path in wheels.values()
        if not taken & parse_wheel_filename(path.name)[3]
    ]
    problems += [f"{root} is not there" for root in roots if root not in wheels and root not in present]
    for path in wheels.values():
        for requirement in required(requirements_of(path), python):
            name = canonicalize_name(requirement.name)
            if name in wheels:
                packed = parse_wheel_filename(wheels[name].name)[1]
                if not requirement.specifier.contains(packed, prereleases=True):
                    problems.append(f"{path.name} requires {requirement}, and {packed} is there")
            elif name not in present:
                problems.append(f"{path.name} requires {requirement}, which is not there")
    return problems


def requirements_of(wheel: Path) -> list[str]:
    """Reads what a wheel's metadata say that it requires."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])


def download(names: Iterable[str], versions: Mapping[str, str], folder: Path, python: str) -> None:
    """Fetches wheels for the machine's Python."""
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]
    wanted = [f"{name}{versions[name]}" for name in sorted(names)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *target]
    subprocess.run([*command, *wanted], check=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make gpu-pack", description=__doc__)
    parser.add_argument("--python", default="3.12", help="the machine's (default: %(default)s)")
    parser.add_argument(
        "--present",
        type=Path,
        help="names of the packages that the machine has, as `pip list --format=freeze` writes",
    )
    parser.add_argument("--out", type=Path, default=HERE / "build" / "gpu-pack", help="the folder (%(default)s)")
    args = parser.parse_args(argv)
    there = needed(["torch", "torchvision", "triton"], (), args.python)
    if args.present is not None:
        there |= {canonicalize_name(line.split("=")[0].strip()) for line in args.present.open() if line.strip()}
    names, versions = needed(ROOTS, there, args.python), locked(args.python)
    if unknown := names - versions.keys():
        print(
            f"gpu-pack: requirements.lock lacks {', '.join(sorted(unknown))}; `make lock` renews it",
            file=sys.stderr,
        )
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    for old in args.out.glob("*.whl"):
        old.unlink()
    download(names, versions, args.out, args.python)
    problems = missing(args.out, ROOTS, there, args.python)
    for problem in problems:
        print(f"gpu-pack: {problem}", file=sys.stderr)
    size = sum(path.stat().st_size for path in args.out.glob("*.whl")) / 2**20
    print(f"{len(names)} wheels, {size:.1f} MiB, in {args.out}: {'incomplete' if problems else 'complete'}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
