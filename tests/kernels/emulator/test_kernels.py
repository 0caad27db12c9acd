"""The kernels of csrc/cuda/ under every order of their threads, and on several GPUs."""

import math
import threading

import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.common.op import OPS
from tests.kernels.accuracy import assert_accurate
from tests.kernels.ema import randn
from tests.kernels.emulator import build
from tests.kernels.emulator.calls import CALLS, NARROW


def test_every_file_is_called():
    assert {name for name in build.sources("cuda") if name.endswith(".cu")} == {
        f"cuda/{name}.cu" for name in CALLS
    }


@pytest.mark.parametrize("file", CALLS)
def test_the_same_bits_in_any_order_of_the_threads(emulator, file):
    expected = CALLS[file]()
    for seed in range(1, 6):
        emulator.configure(seed=seed)
        for got, want in zip(CALLS[file](), expected, strict=True):
            assert torch.equal(got, want)


# Shared memory for all rows of a block, for some of them, and for none beside the kernel's own.
@pytest.mark.parametrize("shared_bytes", [232_448, 16_384 + 1000, 16_384])
@pytest.mark.parametrize("processors", [1, 3, 10])
@pytest.mark.parametrize("columns", [70, 72], ids=["one by one", "by four"])
@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("epsilon", [0.2, 0.05], ids=["powers that fit", "powers that do not"])
def test_sinkhorn_knopp_on_any_gpu(emulator, epsilon, dtype, columns, processors, shared_bytes):
    emulator.configure(seed=1, processors=processors, shared_bytes=shared_bytes)
    scores = randn(37, columns, dtype=dtype)
    scores[7, 3], scores[8] = float("-inf"), 3
    eager, truth = (K.sinkhorn_knopp(x, epsilon=epsilon, impl="reference") for x in (scores, scores.double()))
    assert_accurate(K.sinkhorn_knopp(scores, epsilon=epsilon, impl="cuda"), eager, truth, dtype)


@pytest.mark.parametrize("shared_bytes", [232_448, 16_384 + 1000])
@pytest.mark.parametrize("columns", [70, 72])
def test_sinkhorn_knopp_where_the_powers_of_one_block_do_not_fit(emulator, columns, shared_bytes):
    """Nor are a column's scores in any other block, nor all rows' codes."""
    emulator.configure(processors=3, shared_bytes=shared_bytes)
    scores = 0.3 * randn(37, columns)
    scores[26:] -= 1000
    scores[:26, 5] = float("-inf")
    eager, truth = (K.sinkhorn_knopp(x, impl="reference") for x in (scores, scores.double()))
    assert_accurate(K.sinkhorn_knopp(scores, impl="cuda"), eager, truth, torch.float32)
    scores[2], scores[3, 4], scores[30, 7] = float("-inf"), float("nan"), float("inf")
    bad = torch.zeros(37, dtype=torch.bool).index_fill(0, torch.tensor([2, 3, 30]), True)
    codes = K.sinkhorn_knopp(scores, impl="cuda")
    assert torch.equal(codes.isnan(), bad[:, None].expand_as(codes))
    torch.testing.assert_close(codes[~bad], K.sinkhorn_knopp(scores[~bad], impl="cuda"))


@pytest.mark.parametrize("iterations", [1, 3, 5])
@pytest.mark.parametrize("share", [0.99, 1.01], ids=["as large as fit", "a little larger"])
def test_sinkhorn_knopp_at_the_largest_powers_that_fit(emulator, share, iterations):
    """All |c S| are alike there, and rows and columns as unlike as that allows."""
    b, k = 40, 24
    bits = (126 - iterations * math.log2(b)) / 2
    generator = torch.Generator().manual_seed(0)
    signs = torch.where(torch.rand(b, k, generator=generator) < torch.linspace(0, 1, k) ** 4, 1.0, -1.0)
    scores = signs * (share * bits * 0.05 / math.log2(math.e))
    eager, truth = (
        K.sinkhorn_knopp(x, iterations=iterations, impl="reference") for x in (scores, scores.double())
    )
    assert_accurate(K.sinkhorn_knopp(scores, iterations=iterations, impl="cuda"), eager, truth, torch.float32)


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        ({"blocks_per_processor": 0}, "a block of 512 threads and 840 bytes of dynamic shared memory on each"),
        ({"cooperative": False}, "a GPU with cooperative launches, which this one has not"),
        ({"usable_processors": 0}, "to run 3 blocks at the same time, .* the part of the GPU that"),
    ],
    ids=str,
)
def test_a_gpu_on_which_the_blocks_cannot_wait_for_one_another(emulator, gpu, reason):
    emulator.configure(processors=3, **gpu)
    scores = randn(9, 70)
    with pytest.raises(RuntimeError, match=f"impl='cuda' needs {reason}.*; use impl='triton'"):
        K.sinkhorn_knopp(scores, impl="cuda")
    K.ema_update_([randn(3)], [randn(3)], 0.5, impl="cuda")  # no error is left for the next launch
    assert OPS["sinkhorn_knopp"].available("cuda")[0] == "triton"  # which `auto` takes on any GPU


def test_another_threads_launch_takes_no_shared_memory_away(emulator):
    """A launch of few bytes may come between what the host grants the kernel and the launch of many."""
    emulator.configure(processors=1)
    scores, narrow = randn(9, 3000), randn(9, 30)
    expected = K.sinkhorn_knopp(scores, impl="cuda")
    emulator.after_grant(lambda: K.sinkhorn_knopp(narrow, impl="cuda"))
    assert torch.equal(K.sinkhorn_knopp(scores, impl="cuda"), expected)


def test_calls_from_several_threads(emulator):
    scores = [randn(9 + i, 70, seed=i) for i in range(4)]
    expected = [K.sinkhorn_knopp(x, impl="cuda") for x in scores]
    got = {}
    threads = [
        threading.Thread(target=lambda i=i: got.update({i: K.sinkhorn_knopp(scores[i], impl="cuda")}))
        for i in range(len(scores))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(got[i], expected[i]) for i in range(len(scores)))


# As many as either table of the launch holds, and one more or less.
@pytest.mark.parametrize("count", [127, 128, 129, 1023, 1024, 1025])
def test_averages_around_the_capacity_of_a_launch(emulator, count):
    targets, sources = ([randn(1 + i % 3, seed=seed + i) for i in range(count)] for seed in (0, 9000))
    expected = [0.5 * k + 0.5 * q for k, q in zip(targets, sources, strict=True)]
    K.ema_update_(targets, sources, 0.5, impl="cuda")
    torch.testing.assert_close(targets, expected)


@pytest.mark.parametrize("count", [47, 48, 49, 383, 384, 385])
def test_parameters_around_the_capacity_of_a_launch(emulator, count):
    params, grads = ([randn(1 + i % 3, seed=seed + i) for i in range(count)] for seed in (0, 9000))
    expected = [w - 0.1 * g for w, g in zip(params, grads, strict=True)]
    K.sgd_ema_step_(params, grads, [], lr=0.1, impl="cuda")
    torch.testing.assert_close(params, expected)
