"""The draws, the order and the numbers that a GPU computes: the host's, bit for bit."""

import numpy as np
import pytest
import torch

from sslfast.config import ViewConfig
from sslfast.data.draws.on_device import drawer
from sslfast.data.draws.reference import draw_view
from sslfast.random import key as key_module
from sslfast.random.key import Key, Stream
from sslfast.random.on_device import shuffled
from sslfast.random.philox import permutation, uniform
from tests.kernels.compiled import ARCHITECTURES, assert_compiles

triton_draws = pytest.importorskip("sslfast.data.draws.triton_kernels")
triton_random = pytest.importorskip("sslfast.random.triton_kernels")

# What Triton's interpreter makes numpy say.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:triton.runtime.interpreter", "ignore::RuntimeWarning:triton.runtime.interpreter"
)
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
SAMPLES = 100_000 if GPU else 40
VIEW = ViewConfig(scale=(0.08, 1), brightness=0.8, contrast=1.2, hue=0.5, blur=0.5, solarize=0.3)


def on_gpu(view, seed, number, epoch, indices, height, width):
    rules = torch.tensor(triton_draws.rules(view, height, width), dtype=torch.float64, device=DEVICE)
    return triton_draws.draw_view(rules, seed, number, epoch, indices.to(DEVICE)).cpu()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (375, 500), (20, 200), (200, 7), (1, 1)])
def test_draws_are_the_hosts(height, width):
    """The last three shapes need the central crop often."""
    indices = torch.from_numpy(np.random.default_rng(0).integers(0, 2**32, SAMPLES))
    table = on_gpu(VIEW, 5, 1, 3, indices, height, width)
    expected = draw_view(VIEW, 5, 3, indices.numpy(), 1, height, width).table()
    assert torch.equal(table, torch.from_numpy(expected))


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 + 1, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "number"), [(0, 0), (1, 1), (2**31 + 5, 9)])
def test_draws_of_any_seed_epoch_and_view(seed, epoch, number):
    indices = torch.tensor([0, 2**32 - 1, 77])
    table = on_gpu(VIEW, seed, number, epoch, indices, 40, 50)
    expected = draw_view(VIEW, seed, epoch, indices.numpy(), number, 40, 50).table()
    assert torch.equal(table, torch.from_numpy(expected))


def test_certain_events_and_fixed_numbers():
    """Probabilities and ranges of no width, and a batch of none."""
    for p in (0.0, 1.0):
        view = ViewConfig(
            flip=p, jitter=p, brightness=0, hue=0, grayscale=p, blur=p, blur_sigma=(1, 1), solarize=p
        )
        indices = torch.arange(40)
        expected = draw_view(view, 0, 0, indices.numpy(), 0, 32, 32).table()
        assert torch.equal(on_gpu(view, 0, 0, 0, indices, 32, 32), torch.from_numpy(expected))
        assert on_gpu(view, 0, 0, 0, indices[:0], 32, 32).shape == (0, 14)


@pytest.mark.parametrize("n", [1, 1024, 2500])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (2**40 + 7, 2)])
def test_the_order_is_the_hosts(seed, epoch, n):
    order = triton_random.permutation(seed, epoch, n, DEVICE).cpu()
    assert torch.equal(order, torch.from_numpy(permutation(seed, epoch, n)))


@pytest.mark.parametrize("seed", [0, 2**32 + 1, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "stream", "count"), [(0, 0, 1), (2**31 + 5, 2**31 + 120, 9), (3, 7, 1500)])
def test_numbers_are_the_hosts(seed, epoch, stream, count):
    indices = torch.tensor([0, 2**32 - 1, 77], device=DEVICE)
    drawn = triton_random.uniform_draws(seed, epoch, indices, stream, count)
    expected = uniform(seed, epoch, indices.cpu().numpy(), stream, count)
    assert torch.equal(drawn.cpu(), torch.from_numpy(expected))
    assert triton_random.uniform_draws(seed, epoch, indices[:0], stream, count).shape == (0, count)


def test_the_operator_of_the_numbers():
    indices = torch.arange(6, device=DEVICE)[::2]
    torch.library.opcheck(torch.ops.sslfast.uniform_draws, (2**40, 1, indices, 2**31, 5))


def test_the_draws_of_a_key_are_made_so_where_they_can_be(monkeypatch):
    key = Key(3, 2**31, torch.arange(5), view=2)
    expected = key.uniform(Stream.PLACE, 2, 3)
    calls = []
    draw = triton_random.uniform_draws
    monkeypatch.setattr(triton_random, "uniform_draws", lambda *args: calls.append(args) or draw(*args))
    monkeypatch.setattr(key_module, "draws_itself", lambda device: True)
    assert torch.equal(key.uniform(Stream.PLACE, 2, 3), expected)
    assert len(calls) == 1


def test_the_device_may_be_the_host():
    cpu = torch.device("cpu")
    index = shuffled(1, 2, 50, cpu)
    assert torch.equal(index, torch.from_numpy(permutation(1, 2, 50)))
    draws = drawer(VIEW, 1, 3, 20, 24, cpu)(2, index)
    assert torch.equal(draws, torch.from_numpy(draw_view(VIEW, 1, 2, index.numpy(), 3, 20, 24).table()))


@pytest.mark.gpu
def test_a_gpu_draws_itself_and_is_never_waited_for():
    draw = drawer(VIEW, 1, 3, 20, 24, DEVICE)
    torch.cuda.set_sync_debug_mode("error")
    try:
        index = shuffled(1, 2, 50, DEVICE)
        draws = draw(2, index)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_host = draw_view(VIEW, 1, 2, permutation(1, 2, 50), 3, 20, 24).table()
    assert torch.equal(draws.cpu(), torch.from_numpy(on_host))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_compile_ahead_of_time(arch):
    numbers = {"B": "i32", "N": "i32", "count": "i32", "seed": "i64", "epoch": "i32", "stream": "i32"}
    pointers = {"p_indices": "*i64", "p_rules": "*fp64", "p_draws": "*fp32", "p_keys": "*i64"}
    signature = numbers | pointers
    kernels = {
        "draw_kernel": (triton_draws, {"BB": 32, "BT": 16}, signature),
        "key_kernel": (triton_random, {"BN": 1024}, signature),
        "uniform_kernel": (triton_random, {"BN": 1024}, {**signature, "p_numbers": "*fp64", "stream": "i64"}),
    }
    launches = [
        (
            kernel,
            {
                "kernel": f"{module.__name__}:{kernel}",
                "arch": arch,
                "signature": {name: kind for name, kind in kinds.items() if name in arguments},
                "constants": constants,
                "multiples_of_16": [],
                "num_warps": 4,
                "num_stages": 3,
            },
        )
        for kernel, (module, constants, kinds) in kernels.items()
        for arguments in [getattr(module, kernel).arg_names]
    ]
    assert_compiles(launches)
