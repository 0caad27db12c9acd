"""NT-Xent on Triton from half of the matrix of logits, as large batches take it: here small ones do."""

import math

import pytest
import torch
from torch.nn import functional as F

from sslfast import kernels as K
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_no_worse_than_eager

pytestmark = interpreter.QUIET
triton_launch = pytest.importorskip("sslfast.kernels.nt_xent.triton_launch")
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
DTYPES = [torch.float16, *([torch.bfloat16] if GPU else [])]  # the interpreter multiplies bf16 wrongly
T = 0.1


@pytest.fixture(autouse=True)
def small_batches_too(monkeypatch):
    monkeypatch.setattr(triton_launch, "MIN_M", 1)


@pytest.fixture
def parts(monkeypatch):
    """Gives a list that grows by what the tiles of a batch have given: (tops, sums), (parts, M) each."""
    found, merge = [], triton_launch.sup_con.merge

    def record(partial, *args, shifted):
        if shifted:
            found.append([part.clone() for part in partial[:2]])
        return merge(partial, *args, shifted=shifted)

    monkeypatch.setattr(triton_launch.sup_con, "merge", record)
    return found


def views(n, d=24, dtype=torch.float16, lengths=1.0, seed=0):
    """Draws two views, (N, D), whose rows have the lengths, a number or (2N, 1)."""
    generator = torch.Generator().manual_seed(seed)
    z = F.normalize(torch.randn(2 * n, d, generator=generator), dim=1) * lengths
    return tuple(z.to(DEVICE, dtype).split(n))


def check_accuracy(z1, z2, temperature=T):
    assert_no_worse_than_eager(K.nt_xent, "triton", z1, z2, asks=(0, 1), temperature=temperature, reduction="none")


# Blocks of 64 rows: one and less, even and odd numbers of them, the last of them full and not.
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 65, 96, 129, 160])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_loss_and_gradients(dtype, n):
    check_accuracy(*views(n, dtype=dtype))


@pytest.mark.parametrize("d", [1, 16, 33, 128])
def test_rows_of_any_width(d):
    check_accuracy(*views(70, d))


@pytest.mark.parametrize("temperature", [0.01, 0.02, 0.05, 0.2, 1, 100])
def test_losses_are_those_of_fp64(temperature):
    """The inputs' rounding aside: eager PyTorch in fp16 rounds the logits, too, and would allow much."""
    z1, z2 = views(100)
    loss = K.nt_xent(z1, z2, temperature=temperature, reduction="none", impl="triton")
    truth = K.nt_xent(z1.double(), z2.double(), temperature=temperature, reduction="none", impl="reference")
    torch.testing.assert_close(loss.double(), truth, rtol=1e-6, atol=2e-6 / min(1, temperature))
    check_accuracy(z1, z2, temperature)


def a_short_block():
    lengths = torch.ones(200, 1)
    lengths[64:128] = 1 / 64
    return lengths


def a_long_row():
    lengths = torch.ones(200, 1)
    lengths[150] = 30
    return lengths


LENGTHS = {
    "all short": 0.01,
    "all long": 20,
    "all very long": 60,
    "all different": torch.randn(200, 1, generator=torch.Generator().manual_seed(1)).mul(2).exp(),
    "a short block": a_short_block(),
    "a long row": a_long_row(),
    "many of length 0": (torch.arange(200) % 3 > 0).float()[:, None],
}


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("temperature", [0.05, 1])
def test_rows_of_any_length(lengths, temperature):
    check_accuracy(*views(100, lengths=LENGTHS[lengths]), temperature)


def test_one_power_for_both_rows_of_a_product_where_rows_are_of_length_1(parts):
    K.nt_xent(*views(100), temperature=T, impl="triton")
    [(tops, _)] = parts
    torch.testing.assert_close(tops, torch.ones_like(tops), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("lengths", "temperature"), [(1, 0.01), (LENGTHS["a long row"], T)], ids=["cold", "long"])
def test_sums_that_would_leave_fp32_are_relative_to_maxima(parts, lengths, temperature):
    z1, z2 = views(100, lengths=lengths)
    K.nt_xent(z1, z2, temperature=temperature, impl="triton")
    [(tops, sums)] = parts
    assert tops.min() < 0.9
    assert sums.isfinite().all()
    assert (sums >= 2**-64).all()


def test_every_part_is_written(parts):
    """Fresh memory is NaN here."""
    torch.use_deterministic_algorithms(True)
    try:
        K.nt_xent(*views(161), temperature=T, impl="triton")
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(part.isfinite().all() for part in parts[0])


@pytest.mark.parametrize("n", [2, 33, 64, 130])
def test_ranks(n):
    """Of small whole numbers, whose products are exact, so that ties are ties."""
    generator = torch.Generator().manual_seed(0)
    z1, z2 = torch.randint(-2, 3, (2, n, 9), generator=generator).to(DEVICE, torch.float16)
    loss, rank = K.nt_xent(z1, z2, temperature=T, reduction="none", return_rank=True, impl="triton")
    _, expected = K.nt_xent(z1.double(), z2.double(), temperature=T, return_rank=True, impl="reference")
    assert torch.equal(rank, expected)
    assert torch.equal(loss, K.nt_xent(z1, z2, temperature=T, reduction="none", impl="triton"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_rows_give_what_they_give_in_small_batches(monkeypatch, bad):
    z1, z2 = (z.abs() for z in views(100))
    z1[70, 3] = bad
    losses, rank = K.nt_xent(z1, z2, temperature=T, reduction="none", return_rank=True, impl="triton")
    monkeypatch.setattr(triton_launch, "MIN_M", 1000)
    expected = K.nt_xent(z1, z2, temperature=T, reduction="none", return_rank=True, impl="triton")
    torch.testing.assert_close((losses, rank), expected, equal_nan=True, rtol=1e-5, atol=1e-5)
    assert losses.isnan().all() == (bad != -math.inf)  # products with inf are inf, and their distance NaN


def test_the_same_bits_each_time():
    z = views(100, lengths=LENGTHS["a short block"])
    first, again = (K.nt_xent(*z, temperature=T, reduction="none", impl="triton") for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("n", "d", "dtype", "halved"),
    [
        (8, 16, torch.float16, True),
        (16, 16, torch.float16, True),
        (7, 16, torch.float16, False),
        (17, 16, torch.float16, False),
        (8, 17, torch.float16, False),
        (8, 16, torch.float32, False),
    ],
)
def test_which_batches_take_it(monkeypatch, parts, n, d, dtype, halved):
    for name, value in (("MIN_M", 16), ("MAX_M", 32), ("MAX_D", 16), ("has_tensor_memory", lambda _: False)):
        monkeypatch.setattr(triton_launch, name, value)
    K.nt_xent(*views(n, d, dtype), temperature=T, impl="triton")
    assert bool(parts) == halved
    monkeypatch.setattr(triton_launch, "has_tensor_memory", lambda _: True)
    parts.clear()
    K.nt_xent(*views(n, d, dtype), temperature=T, impl="triton")
    assert not parts
