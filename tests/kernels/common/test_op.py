"""The choice of the implementation that runs, and the error where it cannot."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.common import op as lib

ROOT = Path(__file__).parents[3]


@pytest.fixture
def missing(monkeypatch):
    """Gives missing(impl), which makes an implementation one that could not be loaded."""
    return lambda impl: monkeypatch.setitem(lib.MISSING, impl, f"sslfast.{impl} was not built; build it")


def arguments():
    return torch.randn(3, 4), torch.randn(3, 4), torch.randn(5, 4)


def test_every_exported_op_is_registered_and_back():
    assert sorted(set(K.__all__) - {"available_impls", "debug"}) == sorted(lib.OPS)


def test_available_impls_lists_what_auto_prefers_first(monkeypatch):
    monkeypatch.setattr(lib, "INTERPRET", False)
    assert K.available_impls("info_nce", "cpu") == ["cpp", "reference"]
    assert K.available_impls("info_nce", "cuda")[:2] == ["triton", "reference"]
    assert K.available_impls("info_nce", torch.device("cpu")) == ["cpp", "reference"]
    assert K.available_impls("info_nce", "meta") == ["reference"]
    monkeypatch.setattr(lib, "INTERPRET", True)
    assert K.available_impls("info_nce", "cpu") == ["cpp", "triton", "reference", "triton_tma"]


def test_available_impls_without_an_op_are_those_of_every_op(monkeypatch):
    monkeypatch.setattr(lib, "INTERPRET", False)
    every = K.available_impls(device="cpu")
    assert list(every) == sorted(lib.OPS)
    assert every["info_nce"] == ["cpp", "reference"]
    here = "cuda" if torch.cuda.is_available() else "cpu"
    assert K.available_impls() == K.available_impls(device=here)
    assert K.available_impls("info_nce") == K.available_impls("info_nce", here)


def test_available_impls_of_an_unknown_op():
    with pytest.raises(ValueError, match=r"^available_impls: no op 'infonce'; did you mean 'info_nce'\?$"):
        K.available_impls("infonce", "cpu")
    with pytest.raises(ValueError, match=r"no op 7; available_impls\(\) lists those of every op$"):
        K.available_impls(7, "cpu")


def test_auto_falls_back_on_the_reference(missing, monkeypatch):
    monkeypatch.setattr(lib, "INTERPRET", False)
    tensors = arguments()
    missing("cpp")
    assert K.available_impls("info_nce", "cpu") == ["reference"]
    assert lib.OPS["info_nce"].choose("auto", torch.device("cpu")) == "reference"
    assert torch.equal(K.info_nce(*tensors, temperature=1), K.info_nce(*tensors, temperature=1, impl="reference"))


def test_auto_never_interprets_triton(missing, monkeypatch):
    missing("cpp")
    monkeypatch.setattr(lib, "INTERPRET", True)
    assert lib.OPS["info_nce"].choose("auto", torch.device("cpu")) == "reference"


def test_an_explicit_implementation_that_was_not_built_is_an_error_that_says_how_to_get_it(missing):
    missing("cpp")
    with pytest.raises(
        RuntimeError, match="^info_nce: impl='cpp' is not available: sslfast.cpp was not built; build it$"
    ):
        K.info_nce(*arguments(), temperature=1, impl="cpp")


def test_an_explicit_implementation_for_another_device_is_an_error(monkeypatch):
    monkeypatch.setattr(lib, "INTERPRET", False)
    with pytest.raises(RuntimeError, match="impl='triton' is not available: it runs on CUDA tensors, not on cpu"):
        K.info_nce(*arguments(), temperature=1, impl="triton")
    with pytest.raises(RuntimeError, match="impl='cpp' is not available: it runs on CPU tensors, not on meta"):
        K.info_nce(*(tensor.to("meta") for tensor in arguments()), temperature=1, impl="cpp")


def test_an_implementation_that_the_op_does_not_have():
    with pytest.raises(RuntimeError, match="impl='cuda' is not available: the op has no such implementation"):
        K.info_nce(*arguments(), temperature=1, impl="cuda")
    with pytest.raises(ValueError, match=r"info_nce: expected impl to be one of .*, got 'c\+\+'"):
        K.info_nce(*arguments(), temperature=1, impl="c++")


def test_forward_mode_differentiation_is_refused():
    """torch would take the operators for constants."""
    query, positive, queue = arguments()
    loss = functools.partial(K.info_nce, positive=positive, queue=queue, temperature=1)
    with pytest.raises(RuntimeError, match="info_nce: has no forward-mode derivative; use impl='reference'"):
        torch.func.jvp(loss, (query,), (query,))
    _, tangent = torch.func.jvp(functools.partial(loss, impl="reference"), (query,), (query,))
    assert tangent != 0
    expected = loss(query)
    _, tangent = torch.func.jvp(lambda x: x.sum() * loss(query), (query,), (query,))  # without a part in it
    torch.testing.assert_close(tangent, query.sum() * expected)


def test_torch_func_differentiates_the_reference_only():
    query, positive, queue = arguments()
    loss = functools.partial(K.info_nce, positive=positive, queue=queue, temperature=1)
    message = "^info_nce: torch.func's transforms cannot differentiate impl='cpp'; use impl='reference'$"
    for transform in (torch.func.grad, torch.func.jacrev, lambda f: torch.func.vmap(torch.func.grad(f))):
        x = query if transform in (torch.func.grad, torch.func.jacrev) else query[None]
        with pytest.raises(RuntimeError, match=message):
            transform(functools.partial(loss, impl="cpp"))(x)
    with pytest.raises(RuntimeError, match=message):
        torch.func.grad(lambda x: torch.func.vmap(functools.partial(loss, impl="cpp"))(x).sum())(query[None])
    query.requires_grad_()
    (expected,) = torch.autograd.grad(loss(query), query)
    torch.testing.assert_close(
        torch.func.grad(functools.partial(loss, impl="reference"))(query.detach()), expected
    )


def test_torch_func_takes_kernels_that_need_no_derivative():
    scores = torch.randn(2, 5, 3)
    each = torch.stack([K.sinkhorn_knopp(x, impl="cpp") for x in scores])
    assert torch.equal(torch.func.vmap(functools.partial(K.sinkhorn_knopp, impl="cpp"))(scores), each)
    gradient = torch.func.grad(lambda x: (K.sinkhorn_knopp(x, impl="cpp") * x).sum())(scores[0])
    torch.testing.assert_close(gradient, each[0])
    query, positive, queue = arguments()
    constant = K.info_nce(query, positive, queue, temperature=1, impl="cpp")
    gradient = torch.func.grad(lambda x: x.sum() * K.info_nce(query, positive, queue, temperature=1, impl="cpp"))
    torch.testing.assert_close(gradient(query), constant.expand_as(query))


def test_an_extension_that_is_not_there_or_is_broken(tmp_path, monkeypatch):
    assert lib._load_extension("_C_none", "install a C++ compiler") == (
        "sslfast._C_none was not built; install a C++ compiler, then reinstall sslfast"
    )
    import sslfast

    (tmp_path / "_C_broken.abi3.so").write_bytes(b"not a library")
    monkeypatch.setattr(sslfast, "__path__", [str(tmp_path)])
    assert "_C_broken.abi3.so cannot be loaded" in lib._load_extension("_C_broken", "install a C++ compiler")


def test_without_extensions_the_package_works_and_explains():
    program = """
import importlib.util
find_spec = importlib.util.find_spec
hidden = ("sslfast._C_cpu", "sslfast._C_cuda", "triton")
importlib.util.find_spec = lambda name, *rest: None if name in hidden else find_spec(name, *rest)
import torch
from sslfast import kernels as K
assert K.available_impls("info_nce", "cpu") == ["reference"]
K.info_nce(torch.ones(2, 3), torch.ones(2, 3), torch.ones(4, 3), temperature=1)
try:
    K.info_nce(torch.ones(2, 3), torch.ones(2, 3), torch.ones(4, 3), temperature=1, impl="cpp")
except RuntimeError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.stdout.strip() == (
        "info_nce: impl='cpp' is not available: sslfast._C_cpu was not built; "
        "install a C++ compiler, then reinstall sslfast"
    ), result.stderr


@pytest.mark.skipif(not (ROOT / "kernels").exists(), reason="runs where the source tree is")
def test_the_folder_refuses_to_be_another_packages_name():
    result = subprocess.run(
        [sys.executable, "-c", "import kernels"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.returncode == 1
    assert result.stderr.strip().endswith(
        "ImportError: this folder is sslfast's: install sslfast and write `from sslfast import kernels`"
    )
