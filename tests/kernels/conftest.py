"""What the tests of the ops share: where an implementation runs, how exact it must be, how it compiles."""

import pytest
import torch

from sslfast.kernels.common.op import OPS

GPU = torch.cuda.is_available()


@pytest.fixture
def device(impl):
    """The device on which the test's `impl` runs: Triton's kernels in the interpreter where there is no GPU."""
    return torch.device("cuda" if GPU and impl != "cpp" else "cpu")


@pytest.fixture(scope="session")
def assert_accurate():
    """assert_accurate(out, eager, truth, dtype): `out` is no worse than eager PyTorch in the same dtype.

    `truth` is the same in fp64. The rule: max|truth - out| <= 2 max|truth - eager| + atol, with atol four units
    of rounding of `dtype` at the scale of `truth`.
    """

    def check(out, eager, truth, dtype):
        assert out.shape == truth.shape
        assert torch.isfinite(out).all()
        if not out.numel():
            return
        error = (truth - out.to(truth)).abs().max()
        allowed = 2 * (truth - eager.to(truth)).abs().max()
        allowed += 4 * torch.finfo(dtype).eps * truth.abs().max().clamp(min=1)
        assert error <= allowed, f"error {error:.3g}, allowed {allowed:.3g}"

    return check


@pytest.fixture
def record_impls(monkeypatch):
    """record_impls(op): a list that grows by the name of each compiled implementation of the op that is called."""

    def record(op):
        def call(impl, *args):
            called.append(impl)
            return original(impl, *args)

        called = []
        original = OPS[op].call
        monkeypatch.setattr(OPS[op], "call", call)
        return called

    return record


@pytest.fixture
def assert_averaged(assert_accurate):
    """assert_averaged(got, targets, sources, momentum): `got` is what `targets` should have become."""

    def check(got, targets, sources, momentum):
        momentum = float(momentum)
        for out, k, q in zip(got, targets, sources, strict=True):
            assert out.dtype == k.dtype
            truth = momentum * k.double() + (1 - momentum) * q.double()
            assert_accurate(out, momentum * k + (1 - momentum) * q.to(k.dtype), truth, k.dtype)

    return check
