"""Swapping another package's losses where they sit, tried on a package that stands in for lightly."""

import sys
import types

import pytest

import sslfast
from sslfast.nn.compat import lightly, pytorch_metric_learning

ORIGINAL = "NTXentLoss SwaVLoss CAPILoss"


@pytest.fixture
def package(monkeypatch):
    """Makes modules as lightly has them: classes of a submodule that a package names again; and a user's own."""
    names = ["lightly", "lightly.loss", "lightly.loss.ntx_ent_loss", "lightlyx"]
    modules = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ORIGINAL.split():
        original = type(name, (), {"__module__": "lightly.loss.ntx_ent_loss"})
        for module in modules.values():
            setattr(module, name, original)
    modules["lightly"].NegativeCosineSimilarity = lightly.NegativeCosineSimilarity  # ours: is no original
    yield modules
    sslfast.unpatch("lightly")


def test_the_losses_are_swapped_where_they_sit_and_put_back(package):
    before = {name: dict(vars(module)) for name, module in package.items()}
    swapped = sslfast.patch("lightly")
    assert swapped == [
        f"{module}.{name}"
        for module in ("lightly", "lightly.loss", "lightly.loss.ntx_ent_loss")
        for name in ("NTXentLoss", "SwaVLoss")
    ]
    assert package["lightly.loss"].NTXentLoss is lightly.NTXentLoss
    assert vars(package["lightlyx"]) == before["lightlyx"]  # another package's name
    assert package["lightly.loss"].CAPILoss is before["lightly.loss"]["CAPILoss"]
    assert sslfast.patch("lightly") == []  # they are ours already
    sslfast.unpatch("lightly")
    assert {name: dict(vars(module)) for name, module in package.items()} == before
    sslfast.unpatch("lightly")  # nothing is left to put back


def test_what_was_set_since_stays(package):
    sslfast.patch("lightly")
    package["lightly.loss"].SwaVLoss = str
    sslfast.unpatch("lightly")
    assert package["lightly.loss"].SwaVLoss is str


def test_a_package_that_is_not_known():
    with pytest.raises(ValueError, match="^patch: expected one of 'lightly', 'pytorch_.*', got 'timm'"):
        sslfast.patch("timm")
    with pytest.raises(ValueError, match="unpatch: expected one of .*, got 'timm'"):
        sslfast.unpatch("timm")


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pytorch-metric-learning"):
        sslfast.patch("pytorch_metric_learning")


@pytest.mark.parametrize(
    ("module", "name", "original", "hint"),
    [
        (
            lightly,
            "CAPILoss",
            "lightly.loss",
            r"sslfast\.nn\.compat\.lightly\.__all__ lists the 18",
        ),
        (lightly, "NtXentLoss", "lightly.loss", r"did you mean 'NTXentLoss'\?"),
        (
            pytorch_metric_learning,
            "ArcFaceLoss",
            "pytorch_metric_learning.losses",
            "choose from NTXentLoss, Sup",
        ),
    ],
)
def test_an_import_that_is_not_there_names_what_is(module, name, original, hint):
    with pytest.raises(ImportError, match=rf"has no {name}, keep {original}\.{name}; {hint}"):
        exec(f"from {module.__name__} import {name}", {})
    assert not hasattr(module, "name_of_nothing")
