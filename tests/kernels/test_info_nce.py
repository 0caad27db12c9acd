"""InfoNCE with a queue: shapes on both of Triton's paths, extreme values, errors, invariances."""

import functools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sslfast import kernels as K
from sslfast.kernels.common import op as lib
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_no_worse_than_eager, results

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# (N, K, D): ones, an empty queue, odd sizes, more rows than a tile, several parts of the queue, wide rows.
SHAPES = [
    (1, 1, 1),
    (1, 0, 8),
    (2, 1, 3),
    (5, 37, 9),
    (33, 300, 64),
    (130, 1030, 128),
    (3, 700, 200),
    (2, 65, 400),
    (3, 130, 600),
]
T = 0.1
# Triton takes fp16 through its own matrix products, fp32 through torch's.
both_paths = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


def inputs(shape, dtype=torch.float32, device="cpu", seed=0, scale=1.0):
    """Draws query, positives and queue with logits of about `scale` before the temperature."""
    n, k, d = shape
    generator = torch.Generator().manual_seed(seed)
    factor = math.sqrt(scale / math.sqrt(d))
    tensors = (torch.randn(rows, d, generator=generator) * factor for rows in (n, n, k))
    return tuple(tensor.to(device, dtype) for tensor in tensors)


OPTIONS = {"asks": (0, 1), "temperature": T, "reduction": "none"}
run = functools.partial(results, K.info_nce, **OPTIONS)
check_accuracy = functools.partial(assert_no_worse_than_eager, K.info_nce, **OPTIONS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_loss_and_gradients(impl, device, dtype, shape):
    interpreter.skip_products_in_bf16(impl, dtype)
    check_accuracy(impl, *inputs(shape, dtype, device))


@both_paths
@pytest.mark.parametrize(("scale", "temperature"), [(1, 0.01), (1, 10), (1e4, 1), (1e4, 0.01), (1e-4, 10)])
def test_any_range_of_logits(impl, device, dtype, scale, temperature):
    check_accuracy(impl, *inputs((9, 150, 16), dtype, device, scale=scale), temperature=temperature)


@pytest.mark.parametrize("temperature", [1e-10, 1e-12, 1e-20])
def test_logits_whose_rounding_is_far_above_one(impl, device, temperature):
    tensors = [F.normalize(x, dim=1) for x in inputs((64, 2000, 64), device=device)]
    check_accuracy(impl, *tensors, temperature=temperature)


def test_rows_wider_than_registers_in_several_blocks(device, impl, monkeypatch):
    if impl == "triton":
        from sslfast.kernels.info_nce import triton_kernels

        monkeypatch.setattr(triton_kernels, "BLOCK_ELEMENTS", 1)
        monkeypatch.setattr(triton_kernels, "POWER_BD", 128)
    check_accuracy(impl, *inputs((3, 2500, 520), torch.float16, device))


@pytest.mark.parametrize(("d", "resident"), [(128, True), (129, False)])
def test_triton_on_a_gpu_with_little_shared_memory(d, resident, monkeypatch):
    triton_kernels = pytest.importorskip("sslfast.kernels.info_nce.triton_kernels")
    ran = []
    for module, name in ((triton_kernels.streaming, "gather"), (triton_kernels, "_blockwise")):
        gather = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *args, name=name, gather=gather: ran.append(name) or gather(*args)
        )
    monkeypatch.setattr(triton_kernels.streaming, "shared_memory", lambda tensor: 99 * 1024)
    tensors = inputs((3, 20, d), torch.float16, "cuda" if GPU else "cpu")
    run("triton", *tensors)
    assert ran == ["gather" if resident else "_blockwise"]


@pytest.mark.parametrize(("d", "blocks"), [(64, 4), (128, 3), (256, 1)])
def test_narrow_rows_have_more_blocks_on_a_hopper_processor(d, blocks):
    """Whether as many fit, test_launches.py asks the compiler."""
    streaming = pytest.importorskip("sslfast.kernels.common.streaming")
    assert streaming.choose_config((4096, 65536, d), 132, True, hopper=True).blocks == blocks
    assert streaming.choose_config((4096, 65536, d), 132, True, hopper=False).blocks == min(2, blocks)


@pytest.mark.parametrize(("d", "num_warps"), [(3, 1), (8, 1), (64, 8), (128, 16)])
def test_many_parts_of_narrow_rows_are_merged_at_once(device, d, num_warps, monkeypatch):
    streaming = pytest.importorskip("sslfast.kernels.common.streaming")
    monkeypatch.setattr(streaming, "processors", lambda tensor: 132)
    seen = []
    gather = streaming.gather
    monkeypatch.setattr(streaming, "gather", lambda *args: seen.append(gather(*args)) or seen[-1])
    check_accuracy("triton", *inputs((5, 40 * 64, d), torch.float16, device))
    parts = len(seen[0].maxima)
    assert parts == 40
    assert streaming.merge_config(parts, d if d > 3 else 4) == (128, num_warps)


def test_cpp_with_parts_of_several_steps():
    check_accuracy("cpp", *inputs((2000, 3000, 8), scale=5.0))


def test_the_loss_is_cross_entropy(impl, device):
    query, positive, queue = inputs((7, 50, 12), device=device)
    logits = torch.cat([(query * positive).sum(1, keepdim=True), query @ queue.T], 1) / T
    for reduction in ("mean", "sum", "none"):
        expected = F.cross_entropy(logits, torch.zeros(7, dtype=torch.long, device=device), reduction=reduction)
        loss = K.info_nce(query, positive, queue, temperature=T, reduction=reduction, impl=impl)
        torch.testing.assert_close(loss, expected)


def test_keys_all_equal(impl, device):
    query, positive, _ = inputs((4, 0, 16), device=device)
    queue = positive[:1].expand(300, 16)
    loss = K.info_nce(query, positive[:1].expand(4, 16), queue, temperature=T, impl=impl)
    assert loss.item() == pytest.approx(math.log(301), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, 1], ids=["query", "positive"])
@both_paths
def test_a_bad_row_stays_alone(impl, device, dtype, which, bad):
    tensors = inputs((40, 200, 16), dtype, device)
    expected = run(impl, *tensors)
    tensors[which][7, 3] = bad
    good = torch.arange(40) != 7
    for out, want in zip(run(impl, *tensors), expected, strict=True):
        assert torch.equal(out[good], want[good])
        if math.isnan(bad):
            assert out[7].isnan().any()


@both_paths
def test_a_bad_key_shows_everywhere(impl, device, dtype):
    query, positive, queue = inputs((5, 200, 16), dtype, device)
    queue[150, 3] = math.nan
    assert all(tensor.isnan().all(-1).all() for tensor in run(impl, query, positive, queue)[:2])


@both_paths
def test_no_gradient_is_computed_in_vain(impl, device, dtype, monkeypatch):
    asked = []
    call = lib.OPS["info_nce"].call
    monkeypatch.setattr(lib.OPS["info_nce"], "call", lambda *args: asked.append(args[-2]) or call(*args))
    query, positive, queue = inputs((3, 20, 8), dtype, device)
    K.info_nce(query, positive, queue, temperature=T, impl=impl)
    K.info_nce(query.requires_grad_(), positive, queue, temperature=T, impl=impl)
    with torch.no_grad():
        K.info_nce(query, positive, queue, temperature=T, impl=impl)
    assert asked == [False, True, False]
    loss, dq, _ = lib.OPS["info_nce"].call(impl, query.detach(), positive, queue, T, False, False)
    torch.testing.assert_close(loss, run("reference", query, positive, queue)[0], rtol=1e-3, atol=1e-3)
    assert dq.shape == (0, 8)


@both_paths
def test_no_samples(impl, device, dtype):
    query, positive, queue = inputs((0, 20, 8), dtype, device)
    query.requires_grad_()
    loss = K.info_nce(query, positive, queue, temperature=T, impl=impl, reduction="sum")
    loss.backward()
    assert loss == 0
    assert query.grad.shape == (0, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": torch.randn(4)}, "info_nce: expected query of shape (N, D), got (4,)"),
        (
            {"query": torch.randn(4, 0)},
            "info_nce: expected query of shape (N, D) with D > 0, got (4, 0)",
        ),
        (
            {"positive": torch.randn(5, 8)},
            "info_nce: expected positives of shape (4, 8) to match query, got (5, 8)",
        ),
        ({"queue": torch.randn(20, 9)}, "info_nce: expected queue of shape (K, 8) to match query, got (20, 9)"),
        ({"queue": torch.randn(8)}, "info_nce: expected queue of shape (K, 8) to match query, got (8,)"),
        (
            {"queue": torch.randn(20, 8).half()},
            "info_nce: expected queue of dtype torch.float32 to match query, got torch.float16",
        ),
        (
            {"query": torch.ones(4, 8, dtype=torch.long)},
            "info_nce: expected query of a floating-point dtype, got torch.int64",
        ),
        (
            {"queue": torch.randn(20, 8, device="meta")},
            "info_nce: expected queue on cpu to match query, got meta",
        ),
        (
            {"queue": torch.randn(20, 8, requires_grad=True)},
            "info_nce: expected a queue that does not require grad, for it receives none; pass queue.detach()",
        ),
        ({"temperature": 0.0}, "info_nce: expected a temperature > 0, got 0.0"),
        ({"temperature": math.nan}, "info_nce: expected a temperature > 0, got nan"),
        ({"temperature": "0.1"}, "info_nce: expected a temperature > 0, got '0.1'"),
        ({"reduction": "max"}, "info_nce: expected reduction to be 'mean', 'sum' or 'none', got 'max'"),
    ],
)
def test_errors_say_what_came(change, message):
    query, positive, queue = inputs((4, 20, 8))
    arguments = {"query": query, "positive": positive, "queue": queue, "temperature": T} | change
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.info_nce(**arguments)
    assert str(error.value) == message


def test_a_queue_that_requires_grad_will_do_without_gradients(impl, device):
    query, positive, queue = inputs((4, 20, 8), device=device)
    expected = K.info_nce(query, positive, queue, temperature=T, impl=impl)
    with torch.no_grad():
        assert torch.equal(K.info_nce(query, positive, queue.requires_grad_(), temperature=T, impl=impl), expected)


def test_auto_runs_the_compiled_kernel(record_impls):
    tensors = inputs((4, 20, 8), device="cuda" if GPU else "cpu")
    called = record_impls("info_nce")
    K.info_nce(*tensors, temperature=T)
    assert called == ["triton" if GPU else "cpp"]


def test_compiles_into_a_full_graph(impl, device):
    def loss(query, positive, queue):
        query = F.normalize(query, dim=1)
        return K.info_nce(query, positive, queue, temperature=T, impl=impl)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for n in (6, 9):  # the second batch size makes the shape dynamic
        query, positive, queue = inputs((n, 40, 8), device=device)
        query.requires_grad_()
        expected = loss(query, positive, queue)
        (d_expected,) = torch.autograd.grad(expected, query)
        out = compiled(query, positive, queue)
        (d_out,) = torch.autograd.grad(out, query)
        assert torch.equal(out, expected)
        torch.testing.assert_close(d_out, d_expected)
    with torch.autocast(device.type, torch.float16):
        torch.testing.assert_close(compiled(query, positive, queue), loss(query, positive, queue))


shapes = st.tuples(st.integers(1, 9), st.integers(0, 70), st.integers(1, 40))
seeds = st.integers(0, 2**31)


@pytest.fixture
def losses(impl, device):
    return lambda *tensors: K.info_nce(
        *(tensor.to(device) for tensor in tensors), temperature=0.5, reduction="none", impl=impl
    ).cpu()


def properties(function):
    quiet = [HealthCheck.function_scoped_fixture]  # `losses` keeps no state
    return settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=quiet)(function)


@properties
@given(shape=shapes, seed=seeds)
def test_the_order_of_the_queue_does_not_matter(losses, shape, seed):
    query, positive, queue = inputs(shape, seed=seed)
    shuffled = queue[torch.randperm(len(queue), generator=torch.Generator().manual_seed(seed))]
    torch.testing.assert_close(losses(query, positive, shuffled), losses(query, positive, queue))


@properties
@given(shape=shapes, seed=seeds)
def test_moving_all_keys_by_one_vector_changes_nothing(losses, shape, seed):
    query, positive, queue = inputs(shape, seed=seed)
    vector = inputs(shape, seed=seed + 1)[0][:1]
    moved = losses(query, positive + vector, queue + vector)
    torch.testing.assert_close(moved, losses(query, positive, queue), rtol=1e-4, atol=1e-4)


@properties
@given(shape=shapes, seed=seeds)
def test_more_negatives_cost_more(losses, shape, seed):
    query, positive, queue = inputs(shape, seed=seed)
    few = losses(query, positive, queue)
    more = losses(query, positive, torch.cat([queue, queue + 0.1]))
    assert (more >= few - 1e-6).all()
    assert (few >= -1e-6).all()
