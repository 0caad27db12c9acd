"""`sslfast info`: what is here, what is missing and how to get it."""

import importlib.metadata
import sys

import pytest
import torch

from sslfast import kernels as K
from sslfast.cli import main
from sslfast.commands import info
from sslfast.kernels.common import op as lib


def table(text):
    """Reads the cells of the table of kernels, by op and implementation."""
    lines = text.split("Kernels", 1)[1].splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip().split("  ") if cell.strip()] for line in lines]
    header, *rows = [row for row in rows if len(row) == len(info.IMPLS) + 1]
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def test_versions_and_devices():
    text = info.describe()
    assert importlib.metadata.version("sslfast") in text
    assert importlib.metadata.version("torch") in text
    assert f"{torch.get_num_threads()} threads" in text
    assert ("none that torch can use" in text) == (not torch.cuda.is_available())


def test_every_op_is_listed_where_it_runs():
    ops = table(info.describe())
    assert set(ops) == set(lib.OPS)
    for op, row in ops.items():
        for impl, cell in row.items():
            assert (impl in K.available_impls(op, "cpu")) == ("CPU" in cell), (op, impl, cell)


def test_an_implementation_that_an_op_lacks_is_not_called_missing():
    assert table(info.describe())["ema_update_"]["triton"] == "-"


def test_what_is_missing_comes_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(lib.MISSING, "cpp", "sslfast._C_cpu was not built; install a C++ compiler")
    text = info.describe()
    assert "cpp is missing: sslfast._C_cpu was not built; install a C++ compiler" in text
    assert table(text)["info_nce"]["cpp"] == "missing"


def test_a_kernel_for_the_gpu_without_a_gpu(monkeypatch):
    monkeypatch.setitem(lib.MISSING, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert table(info.describe())["ema_update_"]["cuda"] == "no GPU"


def test_packages_that_are_not_installed(monkeypatch):
    def version(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "not installed; pip install triton" in info.describe()


def test_an_extra_is_there_or_comes_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    text = info.describe()
    assert 'scikit-learn missing; pip install "sslfast[report]"' in text
    assert f"Pillow {importlib.metadata.version('pillow')}" in text


@pytest.mark.gpu
def test_the_gpu_is_named():
    assert torch.cuda.get_device_name(0) in info.describe()


def test_the_command(capsys):
    main(["info"])
    assert capsys.readouterr().out.strip() == info.describe()
