"""Fixtures of the ops' tests: the device of an implementation, and a record of those that are called."""

import pytest
import torch

from sslfast.kernels.common.op import OPS
from tests.kernels.emulator import emulated

GPU = torch.cuda.is_available()


@pytest.fixture
def device(impl):
    """Chooses the device on which the test's `impl` runs: Triton's interpreter where there is no GPU."""
    return torch.device("cuda" if GPU and impl != "cpp" else "cpu")


@pytest.fixture(scope="session")
def emulated_kernels():
    """Loads the CUDA C++ kernels, built for the emulator and registered for CPU tensors."""
    return emulated.load()


@pytest.fixture
def emulator(emulated_kernels, monkeypatch):
    """Loads the emulator, on which `impl="cuda"` runs in this test."""
    emulated.take_cpu_tensors(monkeypatch)
    emulated_kernels.configure()
    return emulated_kernels


@pytest.fixture(autouse=True)
def _cuda_without_a_gpu(request):
    """Runs tests of `impl="cuda"` on the emulator where there is no GPU."""
    if not GPU and "impl" in request.fixturenames and request.getfixturevalue("impl") == "cuda":
        request.getfixturevalue("emulator")


@pytest.fixture
def record_impls(monkeypatch):
    """Gives record_impls(op), a list that grows by the name of each compiled implementation that is called."""

    def record(op):
        def call(impl, *args):
            called.append(impl)
            return original(impl, *args)

        called = []
        original = OPS[op].call
        monkeypatch.setattr(OPS[op], "call", call)
        return called

    return record
