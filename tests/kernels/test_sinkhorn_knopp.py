"""Sinkhorn-Knopp: the published algorithm, scores of any range, rows that count as absent, errors, invariances."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslfast import kernels as K
from tests.kernels import interpreter, nvcc
from tests.kernels.accuracy import assert_accurate
from tests.kernels.architectures import ONE_AND_OTHERS

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# (B, K): ones, odd sizes, several rows and several parts of each implementation, wide rows.
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 3), (37, 70), (100, 33), (1100, 5), (3, 5000)]


@pytest.fixture(params=["reference", "cpp", "triton", "cuda"])
def impl(request):
    return request.param


def inputs(shape, dtype=torch.float32, device="cpu", seed=0, scale=0.3):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * scale).to(device, dtype)


def swav(scores, epsilon, iterations):
    """Runs the published algorithm, in the order of its code."""
    q = torch.exp((scores - scores.max()) / epsilon).T  # (K, B)
    k, b = q.shape
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / k
        q = q / q.sum(dim=0, keepdim=True) / b
    return (q * b).T


def in_logarithms(scores, epsilon, iterations):
    """Runs the published algorithm where no exponential can under- or overflow, in fp64."""
    log_q = scores.double() / epsilon
    for _ in range(iterations):
        log_q = log_q.log_softmax(0).log_softmax(1)
    return log_q.exp()


def absent(codes, rows):
    return codes[rows].isnan().all()


@pytest.mark.parametrize("iterations", [1, 2, 3, 10])
def test_published_algorithm(impl, device, iterations):
    scores = inputs((37, 70), device=device)
    expected = swav(scores.double(), 0.05, iterations)
    out = K.sinkhorn_knopp(scores, iterations=iterations, impl=impl)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_codes(impl, device, dtype, shape):
    if impl == "reference":
        pytest.skip("is what the others are held to")
    scores = inputs(shape, dtype, device)
    out = K.sinkhorn_knopp(scores, impl=impl)
    truth = K.sinkhorn_knopp(scores.double(), impl="reference")
    assert_accurate(out, K.sinkhorn_knopp(scores, impl="reference"), truth, dtype)
    torch.testing.assert_close(out.sum(1), torch.ones(shape[0], device=device))


def test_no_samples(impl, device):
    assert K.sinkhorn_knopp(inputs((0, 4), device=device), impl=impl).shape == (0, 4)


@pytest.mark.parametrize(
    ("scale", "epsilon"),
    [(500, 0.05), (1e4, 1), (1, 1e-4), (1, 10), (1e-6, 0.05), (2.5e7, 1e-30), (1, 1e-30), (1, 1e30)],
)
@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_scores_of_any_range(impl, device, scale, epsilon, iterations):
    """Logits to +-1e4 and beyond, where exp() of what is below the largest score is 0 in fp32 and in fp64."""
    scores = inputs((40, 30), device=device, scale=scale)
    out = K.sinkhorn_knopp(scores, epsilon=epsilon, iterations=iterations, impl=impl)
    # One unit of rounding of the scores moves a logit by up to 2^-24 scale / eps, some times over.
    error = max(2e-6, 2**-20 * scale / epsilon)
    torch.testing.assert_close(out.double(), in_logarithms(scores, epsilon, iterations), rtol=0, atol=error)
    torch.testing.assert_close(out.sum(1), torch.ones(40, device=device))


def test_rows_and_columns_far_below_the_others(impl, device):
    scores = inputs((40, 30), device=device)
    scores[7] -= 1000
    scores[:, 3] -= 2000
    scores[11, 5] += 3000
    out = K.sinkhorn_knopp(scores, impl=impl)
    torch.testing.assert_close(out.double(), in_logarithms(scores, 0.05, 3), rtol=0, atol=2e-3)


def test_samples_that_cannot_be_balanced(impl, device):
    """Factors of rows and columns grow without bound; codes do not."""
    scores = torch.full((100, 2), -math.inf, device=device)
    scores[:, 0] = 0
    scores[0, 1] = 0
    out = K.sinkhorn_knopp(scores, iterations=40, impl=impl)
    expected = torch.tensor([[1.0, 0.0]], device=device).repeat(100, 1)
    expected[0] = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("iterations", [30, 60])
def test_many_samples_that_cannot_be_balanced(impl, device, iterations):
    """Factors that are never put into the codes would grow by 298 in each iteration."""
    scores = torch.full((300, 5), -1e4, device=device)
    scores[:298, 0] = scores[298, 1] = scores[299, 2:] = 0
    out = K.sinkhorn_knopp(scores, iterations=iterations, impl=impl)
    expected = scores.eq(0).float()
    torch.testing.assert_close(out, expected / expected.sum(1, keepdim=True))


def test_scores_all_equal(impl, device):
    out = K.sinkhorn_knopp(torch.full((9, 40), 0.7, device=device), impl=impl)
    torch.testing.assert_close(out, torch.full((9, 40), 1 / 40, device=device))


@pytest.mark.parametrize("bad", ["nan", "inf", "all -inf"])
def test_a_bad_row_counts_as_absent(impl, device, bad):
    scores = inputs((40, 30), device=device)
    good = torch.arange(40, device=device) != 7
    expected = K.sinkhorn_knopp(scores[good], impl=impl)
    if bad == "all -inf":
        scores[7] = -math.inf
    else:
        scores[7, 3] = float(bad)
    out = K.sinkhorn_knopp(scores, impl=impl)
    assert absent(out, ~good)
    torch.testing.assert_close(out[good], expected)


def test_nothing_but_bad_rows(impl, device):
    assert absent(K.sinkhorn_knopp(torch.full((40, 30), math.nan, device=device), impl=impl), slice(None))


def test_minus_infinity_gives_0(impl, device):
    scores = inputs((40, 30), device=device)
    scores[7, 3] = scores[:, 11] = -math.inf
    out = K.sinkhorn_knopp(scores, impl=impl)
    assert (out[7, 3] == 0) & (out[:, 11] == 0).all()
    others = torch.arange(30, device=device) != 11
    torch.testing.assert_close(out[:, others], K.sinkhorn_knopp(scores[:, others], impl=impl))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bits_are_widened_exactly(impl, device, dtype):
    scores = inputs((37, 70), dtype, device)
    assert torch.equal(K.sinkhorn_knopp(scores, impl=impl), K.sinkhorn_knopp(scores.float(), impl=impl))


def test_codes_never_require_grad(impl, device):
    scores = inputs((5, 8), device=device).requires_grad_()
    assert not K.sinkhorn_knopp(scores, impl=impl).requires_grad


def test_auto(record_impls):
    called = record_impls("sinkhorn_knopp")
    K.sinkhorn_knopp(inputs((2, 3), device="cuda" if GPU else "cpu"))
    assert called == ["triton" if GPU else "cpp"]


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(3, 70000), (3000, 3000)], ids=str)
def test_cuda_reads_again_what_shared_memory_does_not_hold(shape):
    scores = inputs(shape, device="cuda")
    eager, truth = (K.sinkhorn_knopp(x, impl="reference") for x in (scores, scores.double()))
    assert_accurate(K.sinkhorn_knopp(scores, impl="cuda"), eager, truth, torch.float32)


@pytest.mark.parametrize(("k", "registers"), [(300, 80), (3000, 80), (5000, None)])
def test_triton_has_three_blocks_on_a_processor_where_a_row_is_short(k, registers):
    """Whether as many fit, test_launches.py asks the compiler."""
    triton_kernels = pytest.importorskip("sslfast.kernels.sinkhorn_knopp.triton_kernels")
    config = triton_kernels.choose_config((4096, k), processors=132)
    assert (config.blocks, config.maxnreg) == (3 if registers else 1, registers)


def test_triton_with_more_parts_than_are_merged_at_a_time(device, monkeypatch):
    triton_kernels = pytest.importorskip("sslfast.kernels.sinkhorn_knopp.triton_kernels")
    monkeypatch.setattr(triton_kernels, "processors", lambda scores: 64)
    monkeypatch.setattr(triton_kernels, "BP", 16)
    scores = inputs((300, 20), device=device)
    out = K.sinkhorn_knopp(scores, impl="triton")
    truth = K.sinkhorn_knopp(scores.double(), impl="reference")
    assert_accurate(out, K.sinkhorn_knopp(scores, impl="reference"), truth, scores.dtype)


@pytest.fixture
def wide(monkeypatch):
    """Makes all rows too wide for registers, and several blocks wide."""
    triton_kernels = pytest.importorskip("sslfast.kernels.sinkhorn_knopp.triton_kernels")
    monkeypatch.setattr(triton_kernels, "MAX_RESIDENT_K", 0)
    monkeypatch.setattr(triton_kernels, "WIDE_BK", 64)
    monkeypatch.setattr(triton_kernels, "WIDE_BC", 32)


@pytest.mark.parametrize("shape", [(1, 1), (37, 70), (130, 33)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("iterations", [1, 3])
def test_triton_with_rows_wider_than_registers(wide, dtype, shape, iterations):
    scores = inputs(shape, dtype, "cuda" if GPU else "cpu")
    eager, truth = (
        K.sinkhorn_knopp(x, iterations=iterations, impl="reference") for x in (scores, scores.double())
    )
    assert_accurate(K.sinkhorn_knopp(scores, iterations=iterations, impl="triton"), eager, truth, dtype)


def test_triton_with_wide_rows_that_are_bad(wide):
    scores = inputs((40, 70), device="cuda" if GPU else "cpu")
    scores[7, 66], scores[8, 1], scores[9] = math.nan, math.inf, -math.inf
    scores[:, 5] = scores[3, 4] = -math.inf
    scores[20] += 1000
    out, expected = (K.sinkhorn_knopp(scores, impl=impl) for impl in ("triton", "reference"))
    torch.testing.assert_close(out, expected, equal_nan=True, rtol=0, atol=2e-3)
    assert absent(out, slice(7, 10)) & (out.isnan().sum() == 3 * 70)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": torch.randn(4)}, "expected scores of shape (B, K) with K > 0, got (4,)"),
        ({"scores": torch.randn(4, 0)}, "expected scores of shape (B, K) with K > 0, got (4, 0)"),
        (
            {"scores": torch.ones(4, 3, dtype=torch.long)},
            "expected scores of a floating-point dtype, got torch.int64",
        ),
        ({"epsilon": 0.0}, "expected an epsilon from 1e-30 to 1e30, got 0.0"),
        ({"epsilon": 1e-45}, "expected an epsilon from 1e-30 to 1e30, got 1e-45"),
        ({"epsilon": math.inf}, "expected an epsilon from 1e-30 to 1e30, got inf"),
        ({"epsilon": "0.05"}, "expected an epsilon from 1e-30 to 1e30, got '0.05'"),
        ({"iterations": 0}, "expected iterations to be a whole number of at least 1, got 0"),
        ({"iterations": 2.5}, "expected iterations to be a whole number of at least 1, got 2.5"),
    ],
)
def test_errors_say_what_came(change, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.sinkhorn_knopp(**{"scores": torch.randn(4, 3)} | change)
    assert str(error.value) == f"sinkhorn_knopp: {message}"


shapes = st.tuples(st.integers(1, 12), st.integers(1, 20))
seeds = st.integers(0, 2**31)


def properties(function):
    quiet = [HealthCheck.function_scoped_fixture]  # `codes` keeps no state
    return settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=quiet)(function)


@pytest.fixture
def codes(impl, device):
    return lambda scores, **kwargs: K.sinkhorn_knopp(scores.to(device), impl=impl, **kwargs).cpu()


@properties
@given(shape=shapes, seed=seeds)
def test_marginals(codes, shape, seed):
    """Samples give 1 each, and after enough iterations prototypes get B / K each."""
    out = codes(inputs(shape, seed=seed), epsilon=1.0, iterations=20)
    torch.testing.assert_close(out.sum(1), torch.ones(shape[0]))
    torch.testing.assert_close(out.sum(0), torch.full((shape[1],), shape[0] / shape[1]), rtol=1e-4, atol=1e-4)


@properties
@given(shape=shapes, seed=seeds)
def test_order_does_not_matter(codes, shape, seed):
    scores, generator = inputs(shape, seed=seed), torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(n, generator=generator) for n in shape)
    torch.testing.assert_close(codes(scores[rows][:, columns]), codes(scores)[rows][:, columns])


@properties
@given(shape=shapes, seed=seeds)
def test_a_constant_to_each_prototype_changes_nothing(codes, shape, seed):
    scores = inputs(shape, seed=seed)
    moved = scores + inputs((1, shape[1]), seed=seed + 1)
    torch.testing.assert_close(codes(moved), codes(scores), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(nvcc.find_nvcc() is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ONE_AND_OTHERS)
def test_cuda_kernel_compiles_without_spills(architecture, tmp_path):
    cubin = tmp_path / "sinkhorn_knopp.cubin"
    log = nvcc.compile_for(architecture, "cuda/sinkhorn_knopp.cu", cubin)
    assert "warning" not in log, log
    assert nvcc.spilled_bytes(log) == 0
    assert "LDS.128" in nvcc.instructions(cubin)  # four scores at a time, from what is known to be shared memory
