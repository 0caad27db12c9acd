"""What all tests share."""

import os
from pathlib import Path

import hypothesis
import pytest
import torch

if not torch.cuda.is_available():
    # Before anything imports sslfast.kernels: its Triton kernels then run in Triton's interpreter.
    os.environ["TRITON_INTERPRET"] = "1"

# No test is timed, and a run that fails fails again.
hypothesis.settings.register_profile("sslfast", deadline=None, derandomize=True)
hypothesis.settings.load_profile("sslfast")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items):
    no_gpu = pytest.mark.skip(reason="needs a CUDA device")
    no_data = pytest.mark.skip(reason=f"needs the real images of {SHARED_DATA}")
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        if item.get_closest_marker("real_data") and not SHARED_DATA.is_dir():
            item.add_marker(no_data)


@pytest.fixture(scope="session")
def shared_data():
    """Names the folder of real images; for tests marked real_data."""
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """Keeps a cache of the tests' own, into which archives are unpacked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
