"""What is usable without the packages of the extras, and what is said where one is missing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sslfast import extras
from sslfast.errors import UsageError

tomllib = pytest.importorskip("tomllib")  # Python 3.11's
PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

# A module that is None in sys.modules cannot be imported.
WITHOUT_EXTRAS = f"""
import json, sys
for module in {sorted({module.partition(".")[0] for of in extras.EXTRAS.values() for module in of} | {"triton"})}:
    sys.modules[module] = None

import torch
import sslfast
from sslfast import kernels as K, nn
from sslfast.cli import main
from sslfast.nn.compat import lightly, pytorch_metric_learning

z = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
loss = K.nt_xent(z[:4], z[4:], temperature=0.5)
loss.backward()
module = lightly.NTXentLoss(temperature=0.5)(z[:4].detach(), z[4:].detach())
said = {{}}
for name in ("pretrain", "load_encoder"):
    try:
        getattr(sslfast, name)
    except ImportError as error:
        said[name] = str(error)
impls = K.available_impls("nt_xent", "cpu")
print(json.dumps([loss.item(), module.item(), z.grad.abs().sum().item(), impls, said]))
for command in (["--help"], ["info"], ["list"]):
    try:
        code = main(command)
    except SystemExit as exit:
        code = exit.code
    print("exit code", code, flush=True)
"""


@pytest.fixture(scope="module")
def without_extras():
    """Returns the output of a process that has torch and numpy only: the lines of stdout, and stderr."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_kernels_and_losses_need_torch_and_numpy_only(without_extras):
    (first, *_), _ = without_extras
    loss, of_lightly, gradient, impls, _ = json.loads(first)
    assert loss > 0
    assert loss == pytest.approx(of_lightly)
    assert gradient > 0
    assert "reference" in impls


def test_python_says_what_is_missing(without_extras):
    (first, *_), _ = without_extras
    *_, said = json.loads(first)
    packages = "torchvision, Pillow, pydantic, PyYAML, safetensors, tqdm"
    for name in ("pretrain", "load_encoder"):
        assert said[name] == f'sslfast.{name} needs {packages}: pip install "sslfast[train]"'


def test_the_command_line_says_what_is_missing(without_extras):
    lines, errors = without_extras
    assert [line[-1] for line in lines if line.startswith("exit code")] == ["0", "0", "2"]
    assert any("triton is missing: triton is not installed" in line for line in lines)
    assert re.fullmatch(r'sslfast: list needs torchvision, .*: pip install "sslfast\[train\]"\n', errors)


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_an_extra_brings_its_packages(extra):
    brought = {re.split(r"[\[<>=;]", line)[0].lower() for line in PYPROJECT["optional-dependencies"][extra]}
    assert {package.lower() for package in extras.EXTRAS[extra].values()} <= brought


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    sentence = r'^evaluate detect needs .*torchmetrics.*: pip install "sslfast\[detection\]"$'
    with pytest.raises(UsageError, match=sentence):
        extras.require("detection", "evaluate detect")


def test_a_module_that_no_extra_brings_is_not_explained():
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"), extras.needed_by("this"):
        import no_such_module  # noqa: F401


@pytest.mark.parametrize(("cuda", "extra"), [("12.8", "dali12"), ("13.0", "dali13"), (None, "dali13")])
def test_dali_is_that_of_torchs_cuda(monkeypatch, cuda, extra):
    monkeypatch.setattr("torch.version.cuda", cuda)
    assert extras.dali_extra() == extra
