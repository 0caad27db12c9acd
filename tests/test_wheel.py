"""What is in the wheel without extensions and in the source distribution, and what they ask pip for."""

import os
import resource
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import sslfast

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("sslfast", "kernels", "benchmarks", "csrc")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
BUILD = "from setuptools import build_meta as b; print(b.build_wheel('dist')); print(b.build_sdist('dist'))"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds the wheel and the source distribution; returns their paths."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        leave = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=leave)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    env = {**os.environ, "SSLFAST_PURE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return sorted((folder / "dist").iterdir(), key=lambda path: path.suffix != ".whl")


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built[0]) as file:
        yield file


@pytest.fixture(scope="module")
def metadata(wheel):
    return Parser().parsestr(wheel.read(f"sslfast-{sslfast.__version__}.dist-info/METADATA").decode())


def test_any_platform_takes_the_wheel(built, wheel):
    assert built[0].name == f"sslfast-{sslfast.__version__}-py3-none-any.whl"
    assert not [name for name in wheel.namelist() if name.endswith(".so")]


def test_the_wheel_has_every_module_and_what_they_read(wheel):
    installed = {name for name in wheel.namelist() if name.startswith("sslfast/")}
    modules = {
        f"sslfast/{folder}/{path.relative_to(ROOT / folder)}"
        for folder in ("kernels", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    }
    data = {"sslfast/py.typed", "sslfast/report/page.css"}
    data |= {str(path.relative_to(ROOT)) for path in (ROOT / "sslfast").glob("recipes/*/*.yaml")}
    assert modules | data <= installed


def test_a_training_loop_of_one_s_own_takes_the_kernels_of_the_wheel_within_a_minute(built, tmp_path):
    """As one who has installed `sslfast[train]`: the wheel, and a script elsewhere.

    The minute is of the processor: other work beside the tests does not count.
    """
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(built[0]) as file:
        file.extractall(installed)
    script = shutil.copy(ROOT / "examples" / "kernel_in_your_loop.py", tmp_path)
    shown = f"import runpy, sslfast; print(sslfast.__file__); runpy.run_path({str(script)!r}, run_name='__main__')"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", shown, "--steps", "20"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60
    where, *steps = done.stdout.splitlines()
    assert Path(where).is_relative_to(installed)
    assert steps[-1].startswith("step ")


def test_the_core_is_torch_and_numpy(metadata):
    core = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in core) == ["numpy", "torch"]


def test_extras_hold_together(metadata):
    """`all` has what each part of the trainer needs, and every extra that it names exists."""
    of_all = [line for line in metadata.get_all("Requires-Dist") if 'extra == "all"' in line]
    (line,) = of_all
    named = line.partition("[")[2].partition("]")[0].split(",")
    assert set(named) <= set(metadata.get_all("Provides-Extra"))
    assert {"train", "report", "logging", "timm", "detection"} <= set(named)


def test_the_source_distribution_can_be_compiled(built):
    with tarfile.open(built[1]) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    compiled = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*") if path.is_file()}
    assert compiled <= names
    assert "kernels/__init__.py" in names or "sslfast/kernels/__init__.py" in names
    assert not [name for name in names if name.startswith("tests/")]
