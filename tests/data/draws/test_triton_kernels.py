"""The draws that a GPU samples: the host's, bit for bit."""

import dataclasses

import numpy as np
import pytest
import torch

from sslfast.config import ViewConfig
from sslfast.data.draws.reference import sample_view
from tests.kernels.architectures import ONE_AND_OTHERS
from tests.kernels.compiled import assert_compiles
from tests.random.launches import launch

triton_kernels = pytest.importorskip("sslfast.data.draws.triton_kernels")

# What Triton's interpreter makes numpy say.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:triton.runtime.interpreter", "ignore::RuntimeWarning:triton.runtime.interpreter"
)
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
SAMPLES = 100_000 if GPU else 40
VIEW = ViewConfig(scale=(0.08, 1), brightness=0.8, contrast=1.2, hue=0.5, blur=0.5, solarize=0.3)


def on_gpu(view, seed, number, epoch, indices, heights, widths):
    rules = torch.tensor(triton_kernels.rules(view), dtype=torch.float64, device=DEVICE)
    sizes = np.stack([np.atleast_1d(heights), np.atleast_1d(widths)], axis=1)
    sides = torch.from_numpy(triton_kernels.sides(view, sizes)).to(DEVICE)
    return triton_kernels.sample_view(rules, sides, seed, number, epoch, indices.to(DEVICE)).cpu()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (375, 500), (20, 200), (200, 7), (1, 1)])
def test_draws_are_the_hosts(height, width):
    """The last three shapes need the central crop often."""
    indices = torch.from_numpy(np.random.default_rng(0).integers(0, 2**32, SAMPLES))
    table = on_gpu(VIEW, 5, 1, 3, indices, height, width)
    expected = sample_view(VIEW, 5, 3, indices.numpy(), 1, height, width).table()
    assert torch.equal(table, torch.from_numpy(expected))


def test_draws_of_images_each_of_its_own_size():
    random = np.random.default_rng(0)
    indices = torch.from_numpy(random.integers(0, 2**32, SAMPLES))
    heights, widths = random.integers(1, 400, (2, SAMPLES))
    expected = sample_view(VIEW, 5, 3, indices.numpy(), 1, heights, widths).table()
    assert torch.equal(on_gpu(VIEW, 5, 1, 3, indices, heights, widths), torch.from_numpy(expected))


def test_draws_of_a_region():
    view = dataclasses.replace(VIEW, region=(0.2, 0.1, 0.9, 0.55))
    random = np.random.default_rng(0)
    indices = torch.from_numpy(random.integers(0, 2**32, SAMPLES))
    heights, widths = random.integers(1, 400, (2, SAMPLES))
    expected = sample_view(view, 5, 3, indices.numpy(), 1, heights, widths).table()
    assert torch.equal(on_gpu(view, 5, 1, 3, indices, heights, widths), torch.from_numpy(expected))


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 + 1, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "number"), [(0, 0), (1, 1), (2**31 + 5, 9)])
def test_draws_of_any_seed_epoch_and_view(seed, epoch, number):
    indices = torch.tensor([0, 2**32 - 1, 77])
    table = on_gpu(VIEW, seed, number, epoch, indices, 40, 50)
    expected = sample_view(VIEW, seed, epoch, indices.numpy(), number, 40, 50).table()
    assert torch.equal(table, torch.from_numpy(expected))


def test_certain_events_and_fixed_numbers():
    """Probabilities and ranges of no width, and a batch of none."""
    for p in (0.0, 1.0):
        view = ViewConfig(
            flip=p, jitter=p, brightness=0, hue=0, grayscale=p, blur=p, blur_sigma=(1, 1), solarize=p
        )
        indices = torch.arange(40)
        expected = sample_view(view, 0, 0, indices.numpy(), 0, 32, 32).table()
        assert torch.equal(on_gpu(view, 0, 0, 0, indices, 32, 32), torch.from_numpy(expected))
        assert on_gpu(view, 0, 0, 0, indices[:0], 32, 32).shape == (0, 14)


@pytest.mark.parametrize("arch", ONE_AND_OTHERS)
def test_the_kernel_compiles_ahead_of_time(arch):
    pointers = {"p_indices": "*i64", "p_rules": "*fp64", "p_sides": "*fp64", "p_draws": "*fp32"}
    assert_compiles([launch(triton_kernels, "sample_kernel", arch, {"BB": 32, "BT": 16}, **pointers)])
