"""Nearest-neighbor lookup: the best rows in the order that is promised, extreme values, errors, invariances."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sslfast import kernels as K
from tests.kernels import interpreter

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
# (N, K, D, k): ones, odd sizes, more rows than a tile, several parts of the queue, wide rows, k = K.
SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 5, 3),
    (5, 37, 9, 8),
    (33, 200, 64, 1),
    (33, 200, 64, 5),
    (130, 150, 24, 2),
    (1, 1200, 16, 1),
    (2, 70, 400, 2),
    (3, 130, 600, 4),
]
# Triton takes fp16 through its own matrix products, fp32 through torch's.
both_paths = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


@pytest.fixture(params=["cpp", "triton", "reference"])
def impl(request):
    return request.param


def inputs(n, k, d, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, d, generator=generator).to(device, dtype) for rows in (n, k))


def cosines(query, queue):
    query, queue = (F.normalize(rows.double(), dim=1, eps=1e-30) for rows in (query, queue))
    return query @ queue.T


def check(query, queue, k, impl, tolerance=2e-6):
    """Asserts that the k found are different rows, as good as the true best, with the similarities claimed."""
    indices, similarity = K.nearest_neighbor(query, queue, k=k, impl=impl)
    assert (indices.dtype, similarity.dtype) == (torch.int64, torch.float32)
    assert indices.shape == similarity.shape == ((len(query),) if k == 1 else (len(query), k))
    indices, similarity = indices.view(-1, k), similarity.view(-1, k)
    assert (indices.sort(dim=1).values.diff(dim=1) > 0).all()
    truth = cosines(query, queue)
    torch.testing.assert_close(truth.gather(1, indices), truth.topk(k).values, rtol=0, atol=tolerance)
    torch.testing.assert_close(similarity.double(), truth.gather(1, indices), rtol=0, atol=tolerance)
    assert (similarity.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_finds_the_best(impl, device, dtype, shape):
    interpreter.skip_products_in_bf16(impl, dtype)
    *rows, k = shape
    eager = impl == "reference" and dtype != torch.float32  # multiplies, and so compares, in the inputs' dtype
    check(*inputs(*rows, dtype, device), k, impl, tolerance=torch.finfo(dtype).eps if eager else 2e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_parts_of_several_steps(k):
    check(*inputs(300, 40_000, 8), k, "cpp")


@pytest.mark.parametrize("k", [1, 3])
def test_blocks_of_products_that_overlap(k, device, impl, monkeypatch):
    if impl == "triton":
        from sslfast.kernels.nearest_neighbor import triton_kernels

        monkeypatch.setattr(triton_kernels, "BLOCK_ELEMENTS", 1)
    check(*inputs(3, 1100, 8, device=device), k, impl)


@both_paths
@pytest.mark.parametrize("rows", [7, 130, 1100])
def test_duplicates_anywhere_give_the_lowest_index(impl, device, dtype, rows):
    query = (0.25 - torch.eye(5, 16) / 2).to(device, dtype)  # of length 1, with products exact in any order
    queue = query.repeat(rows // 5 + 1, 1)[:rows]  # row j equals query j % 5
    indices, similarity = K.nearest_neighbor(query, queue, impl=impl)
    assert indices.tolist() == list(range(5))
    torch.testing.assert_close(similarity, torch.ones_like(similarity))
    if rows >= 15:
        indices, _ = K.nearest_neighbor(query, queue, k=3, impl=impl)
        assert indices.tolist() == [[i, i + 5, i + 10] for i in range(5)]


@pytest.mark.parametrize("rows", [8, 13, 37, 513, 1031, 5000])
@pytest.mark.parametrize("n", [1, 3, 130])
def test_every_place_in_the_queue_rounds_alike(rows, n):
    query, row = inputs(n, 1, 100)
    indices, _ = K.nearest_neighbor(query, row.expand(rows, 100), k=8, impl="cpp")
    assert (indices == torch.arange(8)).all()


@both_paths
@pytest.mark.parametrize("k", [1, 4])
def test_a_queue_of_equal_rows(impl, device, dtype, k):
    query, row = inputs(3, 1, 16, dtype, device)
    indices, _ = K.nearest_neighbor(query, row.expand(70, 16), k=k, impl=impl)
    assert (indices.view(3, k) == torch.arange(k, device=device)).all()


@both_paths
def test_lengths_do_not_matter(impl, device, dtype):
    query, queue = inputs(6, 90, 16, dtype, device)
    expected, similarity = K.nearest_neighbor(query, queue, impl=impl)
    far = 2.0 ** torch.arange(-6, 6, device=device).repeat(8)[:90, None]
    indices, scaled = K.nearest_neighbor(query * 0.125, queue * far.to(dtype), impl=impl)
    assert torch.equal(indices, expected)
    torch.testing.assert_close(scaled, similarity)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_very_long_and_very_short_rows(impl, device, scale):
    query, queue = inputs(4, 80, 16, device=device)
    check(query * scale / 4, queue * scale / 4, 2, impl)


@both_paths
def test_rows_of_zeros_have_similarity_zero(impl, device, dtype):
    query, queue = inputs(3, 40, 16, dtype, device)
    query[1] = 0
    indices, similarity = K.nearest_neighbor(query, queue, k=2, impl=impl)
    assert indices[1].tolist() == [0, 1]
    assert similarity[1].tolist() == [0, 0]
    queue = -query[[0]].repeat(40, 1)
    queue[[20, 30]] = 0
    indices, similarity = K.nearest_neighbor(query[[0]], queue, k=3, impl=impl)
    assert indices.tolist() == [[20, 30, 0]]
    torch.testing.assert_close(similarity[0], torch.tensor([0.0, 0, -1], device=device), rtol=1e-3, atol=0)


@both_paths
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_bad_row_of_the_queue_is_found_last(impl, device, dtype, bad):
    query, queue = inputs(4, 70, 16, dtype, device)
    queue[0] = query[0]
    queue[0, 3] = queue[69, 5] = bad
    good = queue[1:69]
    for k in (1, 3):
        indices, similarity = K.nearest_neighbor(query, queue, k=k, impl=impl)
        expected, wanted = K.nearest_neighbor(query, good, k=k, impl=impl)
        assert torch.equal(indices, expected + 1)
        torch.testing.assert_close(similarity, wanted)
    queue = queue[[1, 0, 2, 0]]
    indices, similarity = K.nearest_neighbor(query, queue, k=4, impl=impl)
    assert (indices[:, :2] % 2 == 0).all()
    assert (indices[:, 2:] == torch.tensor([1, 3], device=device)).all()
    assert similarity[:, :2].isfinite().all()
    assert similarity[:, 2:].isnan().all()


@both_paths
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("k", [1, 3])
def test_a_bad_query_stays_alone(impl, device, dtype, bad, k):
    query, queue = inputs(4, 70, 16, dtype, device)
    expected, wanted = K.nearest_neighbor(query, queue, k=k, impl=impl)
    query[2, 7] = bad
    indices, similarity = K.nearest_neighbor(query, queue, k=k, impl=impl)
    others = torch.arange(4) != 2
    assert torch.equal(indices[others], expected[others])
    torch.testing.assert_close(similarity[others], wanted[others])
    assert indices.view(4, k)[2].tolist() == list(range(k))
    assert similarity[2].isnan().all()


@both_paths
@pytest.mark.parametrize("k", [1, 3])
def test_a_queue_that_counts_as_normalized_is_taken_as_it_is(impl, device, dtype, k):
    """Whatever its lengths; a row with NaN still comes last."""
    query, queue = inputs(5, 70, 16, dtype, device)
    query = F.normalize(query, dim=1)
    queue[3, 5] = math.nan
    indices, similarity = K.nearest_neighbor(query, queue, k=k, normalized=True, impl=impl)
    products = (query.double() @ queue.double().T).nan_to_num(nan=-math.inf)
    torch.testing.assert_close(similarity.view(5, k).double(), products.topk(k).values, rtol=3e-3, atol=3e-3)
    torch.testing.assert_close(
        products.gather(1, indices.view(5, k)), products.topk(k).values, rtol=3e-3, atol=3e-3
    )
    few = queue[:4]
    indices, similarity = K.nearest_neighbor(query, few, k=4, normalized=True, impl=impl)
    assert (indices[:, 3] == 3).all()
    assert similarity[:, 3].isnan().all()


@both_paths
def test_triton_reads_a_normalized_queue_once(device, dtype, monkeypatch):
    triton_kernels = pytest.importorskip("sslfast.kernels.nearest_neighbor.triton_kernels")
    query, queue = inputs(5, 70, 16, dtype, device)
    lengths, rows = triton_kernels._inverse_lengths, []
    monkeypatch.setattr(triton_kernels, "_inverse_lengths", lambda x: rows.append(len(x)) or lengths(x))
    for normalized in (False, True):
        K.nearest_neighbor(query, queue, normalized=normalized, impl="triton")
    assert sorted(rows) == [5, 5, 70]


@both_paths
def test_no_queries(impl, device, dtype):
    query, queue = inputs(0, 20, 8, dtype, device)
    indices, similarity = K.nearest_neighbor(query, queue, impl=impl)
    assert indices.shape == similarity.shape == (0,)


def test_no_gradient_passes(impl, device):
    query, queue = (x.requires_grad_() for x in inputs(3, 20, 8, device=device))
    assert not K.nearest_neighbor(query, queue, impl=impl)[1].requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": torch.randn(4)}, "expected query of shape (N, D) with D > 0, got (4,)"),
        ({"query": torch.randn(4, 0)}, "expected query of shape (N, D) with D > 0, got (4, 0)"),
        ({"queue": torch.randn(20, 9)}, "expected queue of shape (K, 8) to match query, got (20, 9)"),
        ({"queue": torch.randn(0, 8)}, "expected a queue of at least one row, got an empty one"),
        (
            {"queue": torch.randn(20, 8).half()},
            "expected queue of dtype torch.float32 to match query, got torch.float16",
        ),
        ({"query": torch.ones(4, 8).long()}, "expected query of a floating-point dtype, got torch.int64"),
        ({"k": 0}, "expected k from 1 to 8, got 0"),
        ({"k": 9}, "expected k from 1 to 8, got 9"),
        ({"k": 2.0}, "expected k from 1 to 8, got 2.0"),
        ({"k": 3, "queue": torch.randn(2, 8)}, "expected k of at most the queue's 2 rows, got 3"),
    ],
)
def test_errors_say_what_came(change, message):
    query, queue = inputs(4, 20, 8)
    arguments = {"query": query, "queue": queue} | change
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.nearest_neighbor(**arguments)
    assert str(error.value) == f"nearest_neighbor: {message}"


def test_auto_runs_the_compiled_kernel(record_impls):
    tensors = inputs(64, 512, 64, device="cuda" if GPU else "cpu")
    called = record_impls("nearest_neighbor")
    K.nearest_neighbor(*tensors)
    assert called == ["triton" if GPU else "cpp"]


@settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n=st.integers(1, 9),
    k=st.integers(1, 70),
    d=st.integers(2, 40),
    top=st.integers(1, 8),
    seed=st.integers(0, 2**31),
)
def test_the_order_of_the_queue_only_renumbers(impl, device, n, k, d, top, seed):
    query, queue = inputs(n, k, d, device=device, seed=seed)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed)).to(device)
    top = min(top, k)
    indices, similarity = K.nearest_neighbor(query, queue, k=top, impl=impl)
    shuffled, same = K.nearest_neighbor(query, queue[order], k=top, impl=impl)
    torch.testing.assert_close(same, similarity, rtol=0, atol=2e-6)
    truth = cosines(query, queue)
    cosine = truth.gather(1, order[shuffled].view(n, top))
    torch.testing.assert_close(cosine, truth.gather(1, indices.view(n, top)), rtol=0, atol=2e-6)
