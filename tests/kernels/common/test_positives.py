"""The rank of the positive, which info_nce, in_batch_info_nce and nt_xent count in the pass for the loss."""

import math

import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.common import op as lib
from tests.kernels import interpreter
from tests.kernels.ids import random_ids

pytestmark = interpreter.QUIET
T = 0.1
# (N, K, D) for info_nce: one sample, no negatives, several tiles and parts, wide rows. The others have N + K keys.
SHAPES = [(1, 1, 1), (1, 0, 8), (5, 37, 9), (70, 260, 24), (3, 600, 130), (2, 65, 600)]
# Triton takes fp16 through its own matrix products, fp32 through torch's.
both_paths = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


@pytest.fixture(params=["info_nce", "in_batch_info_nce", "nt_xent"])
def op(request):
    return request.param


def whole_numbers(*shape, dtype=torch.float32, device="cpu", seed=0):
    """Draws small whole numbers: sums of products are exact in fp16 too, so that implementations agree on ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, shape, generator=generator).to(device, dtype)


def inputs(op, shape, dtype=torch.float32, device="cpu"):
    """Draws the op's tensors and, for in_batch_info_nce, its options: chunks, offset and ids."""
    n, k, d = shape
    sizes = {"info_nce": (n, n, k), "in_batch_info_nce": (2 * n, n + k), "nt_xent": (n, n)}[op]
    tensors = [whole_numbers(size, d, dtype=dtype, device=device, seed=i) for i, size in enumerate(sizes)]
    if op == "in_batch_info_nce":
        return tensors, {"chunks": 2, "offset": k // 2, "ids": random_ids(2 * n, n + k, device=device)}
    return tensors, {}


def call(op, tensors, **options):
    return getattr(K, op)(*tensors, **{"temperature": T, "reduction": "none"} | options)


def logits_of(op, tensors, options):
    """Computes (rows, keys) logits, -inf for what is no negative, and the positives', (rows,), both in fp64."""
    first, second, *queue = (tensor.double().cpu() for tensor in tensors)
    if op == "info_nce":
        return first @ queue[0].T, (first * second).sum(1)
    if op == "nt_xent":
        z = torch.cat([first, second])
        rows, logits = torch.arange(len(z)), z @ z.T
        target = rows.roll(len(first))
        logits[rows, rows] = -math.inf
    else:
        rows, logits = torch.arange(len(first)), first @ second.T
        target = torch.arange(len(first) // 2).repeat(2) + options["offset"]
        row_ids, key_ids = (ids.cpu() for ids in options["ids"])
        logits[(row_ids[:, None] == key_ids).scatter(1, target[:, None], False)] = -math.inf
    return logits, logits[rows, target]


@pytest.mark.parametrize("impl", ["reference", "cpp", "triton"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@both_paths
def test_counts_the_negatives_above_the_positive(op, impl, device, dtype, shape):
    tensors, options = inputs(op, shape, dtype, device)
    loss, positive_rank = call(op, tensors, impl=impl, return_rank=True, **options)
    logits, positive = logits_of(op, tensors, options)
    assert positive_rank.dtype == torch.int64
    assert positive_rank.device.type == device.type
    assert positive_rank.tolist() == (logits > positive[:, None]).sum(1).tolist()
    assert torch.equal(loss, call(op, tensors, impl=impl, **options))


def run(op, tensors, **options):
    """Returns the results, and the gradients of all inputs that may have one."""
    tensors = [tensor.clone().requires_grad_(i < 2) for i, tensor in enumerate(tensors)]
    out = call(op, tensors, **options)
    loss, *positive_rank = out if isinstance(out, tuple) else (out,)
    assert not any(tensor.requires_grad for tensor in positive_rank)
    return *positive_rank, loss.detach(), *torch.autograd.grad(loss.sum(), tensors[:2])


@pytest.mark.parametrize("reduction", ["mean", "none"])
@both_paths
def test_loss_and_gradients_stay_what_they_are(op, impl, device, dtype, reduction):
    tensors, options = inputs(op, (70, 130, 40), dtype, device)
    tensors = [tensor / 8 for tensor in tensors]  # the losses are in range, and the products still exact
    options |= {"impl": impl, "reduction": reduction}
    positive_rank, *results = run(op, tensors, return_rank=True, **options)
    without = run(op, tensors, **options)
    if impl == "cpp":
        assert all(map(torch.equal, results, without))
    else:  # Triton's tiles are smaller, to have registers for the counts
        torch.testing.assert_close(results, list(without), rtol=5e-3, atol=5e-3)
    _, expected = call(op, tensors, **options | {"impl": "reference"}, return_rank=True)
    assert torch.equal(positive_rank, expected)


def test_blocks_of_the_queue_add_up(impl, device, monkeypatch):
    if impl == "triton":
        from sslfast.kernels.info_nce import triton_kernels

        monkeypatch.setattr(triton_kernels, "BLOCK_ELEMENTS", 1)
    tensors, _ = inputs("info_nce", (3, 2500, 20), device=device)
    _, positive_rank = call("info_nce", tensors, impl=impl, return_rank=True)
    _, expected = call("info_nce", tensors, impl="reference", return_rank=True)
    assert torch.equal(positive_rank, expected)


def test_blocks_of_rows_are_told_apart(op):
    tensors, options = inputs(op, (1100, 1000, 6))
    _, positive_rank = call(op, tensors, impl="cpp", return_rank=True, **options)
    _, expected = call(op, tensors, impl="reference", return_rank=True, **options)
    assert torch.equal(positive_rank, expected)


@both_paths
@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_and_the_worst(op, impl, device, dtype, sign):
    """Rows of an identity matrix are their own positives: above all others, or with a change of sign below."""
    eye = torch.eye(20, 32, dtype=dtype, device=device)
    queue = [torch.eye(30, 32, dtype=dtype, device=device).roll(1, 1)[20:]] if op == "info_nce" else []
    _, positive_rank = call(op, [eye, sign * eye, *queue], impl=impl, return_rank=True)
    negatives = {"info_nce": 10, "in_batch_info_nce": 19, "nt_xent": 38}[op]
    assert positive_rank.tolist() == [0 if sign == 1 else negatives] * len(positive_rank)


@both_paths
@pytest.mark.parametrize("position", [0, 1])
def test_nothing_compares_with_nan(op, impl, device, dtype, position):
    tensors, options = inputs(op, (40, 50, 16), dtype, device)
    _, expected = call(op, tensors, impl=impl, return_rank=True, **options)
    tensors[position][7] = math.nan
    _, positive_rank = call(op, tensors, impl=impl, return_rank=True, **options)
    logits, positive = logits_of(op, tensors, options)
    assert positive_rank.tolist() == (logits > positive[:, None]).sum(1).tolist()
    assert not torch.equal(positive_rank, expected)


@both_paths
def test_no_samples(op, impl, device, dtype):
    tensors, options = inputs(op, (0, 5, 8), dtype, device)
    _, positive_rank = call(op, tensors, impl=impl, return_rank=True, **options)
    assert positive_rank.shape == (0,)
    assert positive_rank.dtype == torch.int64


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compiles_into_a_full_graph(op, impl, device, reduction):
    def ranked(*tensors):
        return call(op, tensors, impl=impl, reduction=reduction, return_rank=True)

    torch.compiler.reset()  # `ranked` is one function to it for all ops, which it compiles so many times only
    compiled = torch.compile(ranked, fullgraph=True, backend="aot_eager")
    for n in (6, 9):  # the second batch size makes the shape dynamic
        tensors, _ = inputs(op, (n, 20, 8), device=device)
        tensors[0].requires_grad_()
        assert all(map(torch.equal, compiled(*tensors), ranked(*tensors)))
        with torch.autocast(device.type, torch.float16):
            assert all(map(torch.equal, compiled(*tensors), ranked(*tensors)))


def test_opcheck(op, impl, device, monkeypatch):
    calls, original = [], lib.OPS[op].call
    monkeypatch.setattr(lib.OPS[op], "call", lambda *args: calls.append(args) or original(*args))
    tensors, options = inputs(op, (5, 20, 8), device=device)
    call(op, [tensors[0].requires_grad_(), *tensors[1:]], impl=impl, return_rank=True, **options)
    for chosen, *args in calls:
        torch.library.opcheck(getattr(getattr(torch.ops.sslfast, op), chosen), tuple(args))


def test_cpp_counts_the_same_with_any_number_of_threads(op):
    (tensors, options), threads, counts = inputs(op, (300, 400, 24)), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            counts.append(call(op, tensors, impl="cpp", return_rank=True, **options)[1])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(positive_rank, counts[0]) for positive_rank in counts[1:])


def test_nothing_is_counted_in_vain(op, impl, device):
    """The operator returns no ranks that were not asked for."""
    tensors, _ = inputs(op, (5, 20, 8), device=device)
    arguments = {
        "info_nce": (*tensors, T, False),
        "in_batch_info_nce": (*tensors, None, None, T, 0, 1, False),
        "nt_xent": (torch.cat(tensors), T, False),
    }[op]
    assert lib.OPS[op].call(impl, *arguments, False)[-1].shape == (0,)
