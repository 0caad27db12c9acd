"""Tests in-batch InfoNCE: chunks, offsets, ids on both of Triton's paths, extreme values, errors, invariances."""

import functools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sslfast import kernels as K
from sslfast.kernels.common import op as lib
from sslfast.kernels.in_batch_info_nce.op import OP, TOTAL
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_no_worse_than_eager, results
from tests.kernels.ids import random_ids
from tests.kernels.python_calls import python_calls

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
REDUCTIONS = ("mean", "none")  # the gradient to the keys comes from the forward or from the backward pass
# (N, M, D, chunks, offset): ones, odd sizes, several chunks, targets at the end of the keys, more rows than a
# tile, several parts, wide rows.
SHAPES = [
    (1, 1, 1, 1, 0),
    (1, 2, 3, 1, 1),
    (5, 37, 9, 1, 7),
    (66, 40, 24, 3, 18),
    (140, 70, 64, 2, 0),
    (33, 150, 130, 1, 117),
    (3, 70, 400, 3, 2),
    (4, 30, 600, 2, 5),
]
T = 0.1
# Triton takes fp16 through its own matrix products, fp32 through torch's.
both_paths = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


def inputs(shape, dtype=torch.float32, device="cpu", seed=0, scale=1.0):
    """Draws query and keys with logits of about `scale` before the temperature."""
    n, m, d = shape
    generator = torch.Generator().manual_seed(seed)
    factor = math.sqrt(scale / math.sqrt(d))
    return tuple((torch.randn(rows, d, generator=generator) * factor).to(device, dtype) for rows in (n, m))


OPTIONS = {"asks": (0, 1), "temperature": T, "reduction": "none"}
run = functools.partial(results, K.in_batch_info_nce, **OPTIONS)
check_accuracy = functools.partial(assert_no_worse_than_eager, K.in_batch_info_nce, **OPTIONS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("with_ids", [False, True], ids=["", "ids"])
@both_paths
def test_loss_and_gradients(impl, device, dtype, with_ids, reduction, shape):
    n, m, d, chunks, offset = shape
    ids = random_ids(n, m, device=device) if with_ids else None
    tensors = inputs((n, m, d), dtype, device)
    check_accuracy(impl, *tensors, reduction=reduction, chunks=chunks, offset=offset, ids=ids)


def test_cpp_in_several_batches():
    tensors = inputs((2100, 2050, 8), scale=5.0)
    check_accuracy("cpp", *tensors, reduction="mean", chunks=2, offset=1000)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_triton_in_several_batches(reduction, monkeypatch):
    triton_kernels = pytest.importorskip("sslfast.kernels.in_batch_info_nce.triton_kernels")
    monkeypatch.setattr(triton_kernels, "BATCH_ROWS", 16)
    monkeypatch.setattr(triton_kernels, "BATCH_ELEMENTS", 1)
    device = "cuda" if GPU else "cpu"
    ids = random_ids(42, 30, device=device)
    check_accuracy("triton", *inputs((42, 30, 12), device=device), reduction=reduction, chunks=2, ids=ids)


@both_paths
@pytest.mark.parametrize(("scale", "temperature"), [(1, 0.01), (1, 10), (1e4, 1), (1e4, 0.01), (1e-4, 10)])
def test_any_range_of_logits(impl, device, dtype, scale, temperature):
    tensors = inputs((9, 50, 16), dtype, device, scale=scale)
    for reduction in REDUCTIONS:
        check_accuracy(impl, *tensors, temperature=temperature, reduction=reduction)


@pytest.mark.parametrize("temperature", [1e-10, 1e-20])
def test_logits_whose_rounding_is_far_above_one(impl, device, temperature):
    tensors = [F.normalize(x, dim=1) for x in inputs((40, 200, 64), device=device)]
    check_accuracy(impl, *tensors, temperature=temperature, reduction="mean")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_where_the_loss_is_nearly_zero(impl, device, reduction):
    """There, 1 - p of the target rounds to 0 if it is not the sum of the others."""
    query = torch.eye(12, device=device)
    out = run(impl, query, query.clone(), temperature=0.05, reduction=reduction)
    truth = run("reference", query.double(), query.double(), temperature=0.05, reduction=reduction)
    for gradient, expected in zip(out[1:], truth[1:], strict=True):
        assert 0 < expected.abs().max() < 1e-5
        torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=0)
    if impl == "cpp":
        torch.testing.assert_close(out[0].double(), truth[0], rtol=1e-4, atol=0)


def test_the_loss_is_cross_entropy(impl, device):
    query, keys = inputs((6, 9, 12), device=device)
    target = torch.tensor([4, 5, 6, 4, 5, 6], device=device)
    for reduction in ("mean", "sum", "none"):
        expected = F.cross_entropy(query @ keys.T / T, target, reduction=reduction)
        loss = K.in_batch_info_nce(query, keys, temperature=T, offset=4, chunks=2, reduction=reduction, impl=impl)
        torch.testing.assert_close(loss, expected)


def test_keys_of_the_rows_id_are_no_negatives(impl, device):
    query, keys = inputs((3, 5, 8), device=device)
    ids = torch.tensor([7, 7, 8], device=device), torch.tensor([7, 7, 8, 9, 7], device=device)
    columns = [[0, 2, 3], [1, 2, 3], [2, 0, 1, 3, 4]]  # of each row: the target, the negatives
    logits = query @ keys.T / T
    expected = torch.stack(
        [torch.logsumexp(row[js], 0) - row[js[0]] for row, js in zip(logits, columns, strict=True)]
    )
    out = K.in_batch_info_nce(query, keys, temperature=T, ids=ids, reduction="none", impl=impl)
    torch.testing.assert_close(out, expected)


@both_paths
def test_without_negatives_the_loss_is_zero(impl, device, dtype):
    ids = tuple(torch.zeros(4, dtype=torch.long, device=device) for _ in range(2))
    for result in run(impl, *inputs((4, 4, 16), dtype, device), ids=ids, reduction="sum"):
        assert not result.any()


def test_keys_all_equal(impl, device):
    query, keys = inputs((4, 1, 16), device=device)
    loss = K.in_batch_info_nce(query, keys.expand(150, 16), temperature=T, impl=impl)
    assert loss.item() == pytest.approx(math.log(150), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@both_paths
def test_a_bad_row_stays_alone(impl, device, dtype, bad):
    query, keys = inputs((40, 50, 16), dtype, device)
    expected = run(impl, query, keys)[:2]
    query[7, 3] = bad
    good = torch.arange(40) != 7
    for out, want in zip(run(impl, query, keys)[:2], expected, strict=True):
        assert torch.equal(out[good], want[good])
        if math.isnan(bad):
            assert out[7].isnan().any()


@both_paths
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_bad_row_shows_in_the_gradient_to_every_key(impl, device, dtype, reduction):
    query, keys = inputs((5, 50, 16), dtype, device)
    query[2] = math.nan
    assert run(impl, query, keys, reduction=reduction)[2].isnan().all()


@both_paths
def test_a_bad_key_shows_everywhere(impl, device, dtype):
    query, keys = inputs((5, 50, 16), dtype, device)
    keys[30, 3] = math.nan
    assert all(tensor.isnan().all(-1).all() for tensor in run(impl, query, keys)[:2])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("query_asks", "keys_ask"), [(True, False), (False, True)])
@both_paths
def test_a_gradient_to_what_asks_only(impl, device, dtype, query_asks, keys_ask, reduction):
    tensors = inputs((7, 20, 8), dtype, device)
    expected = run(impl, *tensors, reduction=reduction)[1 if query_asks else 2]
    query, keys = tensors[0].requires_grad_(query_asks), tensors[1].requires_grad_(keys_ask)
    loss = K.in_batch_info_nce(query, keys, temperature=T, reduction=reduction, impl=impl)
    weights = torch.linspace(-1, 2, loss.numel(), device=device).view_as(loss)
    (gradient,) = torch.autograd.grad(loss, query if query_asks else keys, weights)
    torch.testing.assert_close(gradient, expected)


def test_no_gradient_is_computed_in_vain(impl, device, monkeypatch):
    called = []
    for op in (OP, TOTAL):
        monkeypatch.setattr(
            op, "call", lambda *args, op=op, call=op.call: called.append((op, args[-2])) or call(*args)
        )
    query, keys = inputs((3, 20, 8), device=device)

    def loss():
        K.in_batch_info_nce(query, keys, temperature=T, impl=impl)

    loss()
    query.requires_grad_()
    loss()
    keys.requires_grad_()
    loss()
    query.requires_grad_(False)
    loss()
    with torch.no_grad():
        loss()
    assert called == [(OP, False), (OP, True), (TOTAL, True), (TOTAL, False), (OP, False)]


@both_paths
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_no_rows(impl, device, dtype, reduction):
    query, keys = inputs((0, 20, 8), dtype, device)
    loss, d_query, d_keys = run(impl, query, keys, reduction=reduction)
    assert loss.sum() == 0
    assert d_query.shape == (0, 8)
    assert d_keys.shape == (20, 8)
    assert not d_keys.any()


@pytest.mark.parametrize("name", ["reference", "cpp", "triton"])
def test_the_mean_of_no_rows_moves_no_key(name):
    keys = inputs((1, 20, 8))[1].requires_grad_()
    loss = K.in_batch_info_nce(torch.zeros(0, 8), keys, temperature=T, impl=name)
    loss.backward()
    assert loss.isnan()  # as F.cross_entropy's
    assert not keys.grad.any()


def test_the_total_is_an_operator_like_the_others(impl, device):
    tensors = [tensor.requires_grad_() for tensor in inputs((7, 20, 8), device=device)]
    ids = random_ids(7, 20, device=device)
    for weights in (None, torch.linspace(-1, 2, 7, device=device)):
        args = (*tensors, *ids, weights, T, 3, 1, weights is None, True, True)
        torch.library.opcheck(getattr(torch.ops.sslfast.in_batch_info_nce_total, impl), args)
    total, *_ = TOTAL.call(impl, *tensors, *ids, None, T, 3, 1, True, True, True)
    with pytest.raises(RuntimeError, match="its gradient cannot be differentiated again"):
        torch.autograd.grad(total, tensors, create_graph=True)


def test_the_mean_compiles_into_a_full_graph(impl, device):
    def loss(query, keys):
        return K.in_batch_info_nce(query * 1.5, keys * 1.5, temperature=T, impl=impl)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for n in (6, 9):  # the second batch size makes the shape dynamic
        tensors = [tensor.requires_grad_() for tensor in inputs((n, 20, 8), device=device)]
        out, expected = compiled(*tensors), loss(*tensors)
        assert torch.equal(out, expected)
        torch.testing.assert_close(torch.autograd.grad(out, tensors), torch.autograd.grad(expected, tensors))


def test_cpp_means_are_the_same_bits_with_any_number_of_threads():
    tensors, threads, results = inputs((300, 400, 24)), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run("cpp", *tensors, reduction="mean"))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for result in results[1:] for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": torch.ones(4)}, "expected query of shape (N, D) with D > 0, got (4,)"),
        ({"query": torch.ones(4, 0)}, "expected query of shape (N, D) with D > 0, got (4, 0)"),
        ({"keys": torch.ones(6, 9)}, "expected keys of shape (M, 8) to match query, got (6, 9)"),
        (
            {"keys": torch.ones(6, 8).half()},
            "expected keys of dtype torch.float32 to match query, got torch.float16",
        ),
        ({"keys": torch.ones(6, 8, device="meta")}, "expected keys on cpu to match query, got meta"),
        ({"chunks": 3}, "expected chunks >= 1 that divide the 4 rows of query, got 3"),
        ({"chunks": 0}, "expected chunks >= 1 that divide the 4 rows of query, got 0"),
        ({"chunks": 2.0}, "expected chunks to be a whole number, got 2.0"),
        ({"offset": torch.tensor(1)}, "expected offset to be a whole number, got tensor(1)"),
        ({"ids": (1,)}, "expected ids to be a pair (row_ids, key_ids), got (1,)"),
        ({"offset": 3}, "expected an offset from 0 to 2, for 4 targets among 6 keys, got 3"),
        ({"offset": -1}, "expected an offset from 0 to 2, for 4 targets among 6 keys, got -1"),
        ({"keys": torch.ones(3, 8)}, "expected at least as many keys as targets, 4, got 3"),
        (
            {"ids": (torch.ones(4), torch.ones(6))},
            "expected row_ids of shape (4,), dtype torch.int64, on cpu, got (4,), torch.float32, on cpu",
        ),
        (
            {"ids": (torch.arange(4), torch.arange(4))},
            "expected key_ids of shape (6,), dtype torch.int64, on cpu, got (4,), torch.int64, on cpu",
        ),
        ({"temperature": -1}, "expected a temperature > 0, got -1"),
        ({"reduction": "max"}, "expected reduction to be 'mean', 'sum' or 'none', got 'max'"),
    ],
)
def test_errors_say_what_came(change, message):
    arguments = {"query": torch.ones(4, 8), "keys": torch.ones(6, 8), "temperature": T} | change
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.in_batch_info_nce(**arguments)
    assert str(error.value) == f"in_batch_info_nce: {message}"


shapes = st.tuples(st.integers(1, 9), st.integers(9, 40), st.integers(1, 40))
seeds = st.integers(0, 2**31)


@pytest.fixture
def losses(impl, device):
    return lambda *tensors, **options: K.in_batch_info_nce(
        *(tensor.to(device) for tensor in tensors), temperature=0.5, reduction="none", impl=impl, **options
    ).cpu()


def properties(function):
    quiet = [HealthCheck.function_scoped_fixture]  # `losses` keeps no state
    return settings(max_examples=10, suppress_health_check=quiet)(function)


@properties
@given(shape=shapes, seed=seeds)
def test_the_order_of_the_negatives_does_not_matter(losses, shape, seed):
    query, keys = inputs(shape, seed=seed)
    n = len(query)
    order = torch.randperm(len(keys) - n, generator=torch.Generator().manual_seed(seed)) + n
    torch.testing.assert_close(losses(query, torch.cat([keys[:n], keys[order]])), losses(query, keys))


@properties
@given(shape=shapes, seed=seeds)
def test_an_offset_is_a_rotation_of_the_keys(losses, shape, seed):
    query, keys = inputs(shape, seed=seed)
    offset = seed % (len(keys) - len(query) + 1)
    torch.testing.assert_close(losses(query, keys, offset=offset), losses(query, keys.roll(-offset, 0)))


@properties
@given(shape=shapes, seed=seeds)
def test_chunks_are_calls_of_their_own(losses, shape, seed):
    query, keys = inputs(shape, seed=seed)
    both = losses(torch.cat([query, -query]), keys, chunks=2)
    torch.testing.assert_close(both, torch.cat([losses(query, keys), losses(-query, keys)]))


@properties
@given(shape=shapes, seed=seeds)
def test_as_info_nce_with_the_other_keys_as_queue(losses, shape, seed):
    query, keys = inputs(shape, seed=seed)
    expected = K.info_nce(query[:1], keys[:1], keys[1:], temperature=0.5, impl="reference")
    torch.testing.assert_close(losses(query, keys)[0], expected)


def test_auto_runs_the_compiled_kernel(record_impls):
    device = "cuda" if GPU else "cpu"
    called = record_impls("in_batch_info_nce")
    K.in_batch_info_nce(*inputs((300, 300, 64), device=device), temperature=T)
    assert called == ["triton" if GPU else "cpp"]
    called.clear()
    K.in_batch_info_nce(*inputs((100, 200, 640)), temperature=T)
    K.in_batch_info_nce(*inputs((128, 128, 8)), temperature=T)
    assert called == []
    assert lib.OPS["in_batch_info_nce"] is OP


def test_auto_costs_no_call_of_python_more_than_the_formula_that_it_takes():
    """A call of the formula at 64 rows takes 0.3 ms, in which a few calls show."""
    query, keys = inputs((64, 64, 256))
    reference, auto = (
        python_calls(functools.partial(K.in_batch_info_nce, query, keys, temperature=T, impl=impl))
        for impl in ("reference", "auto")
    )
    assert len(auto) <= len(reference), auto


@pytest.mark.parametrize(
    ("shape", "impls"), [((8, 16, 8), ["cpp"]), ((64, 64, 64), ["cpp"]), ((100, 200, 640), [])]
)
def test_auto_takes_both_gradients_in_one_pass_of_small_batches_too(shape, impls, monkeypatch):
    called = []
    monkeypatch.setattr(TOTAL, "call", lambda *args, call=TOTAL.call: called.append(args[0]) or call(*args))
    query, keys = (tensor.requires_grad_() for tensor in inputs(shape))
    K.in_batch_info_nce(query, keys, temperature=T)
    assert called == impls
