"""Every generator comes back from a saved state."""

import random

import numpy as np
import pytest
import torch

from sslfast.random.generators import rng_state, seed_everything, set_rng_state
from sslfast.run.checkpoint import load, save


def sample() -> list:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(()).item()]  # noqa: NPY002


def test_generators_round_trip(tmp_path):
    sample()  # leaves half a pair of normal numbers in store
    save(tmp_path / "a.pt", rng_state())
    expected = [sample() for _ in range(3)]
    set_rng_state(load(tmp_path / "a.pt"))
    assert [sample() for _ in range(3)] == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_generators_round_trip(tmp_path):
    save(tmp_path / "a.pt", rng_state())
    expected = torch.rand(5, device="cuda")
    set_rng_state(load(tmp_path / "a.pt"))
    assert torch.equal(torch.rand(5, device="cuda"), expected)


def test_a_seed_settles_every_generator():
    seed_everything(3)
    first = sample()
    seed_everything(3)
    assert sample() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(sample(), first, strict=True))
