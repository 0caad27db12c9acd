"""Soft cross-entropy: shapes, targets of any kind, extreme values, errors, invariances."""

import functools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sslfast import kernels as K
from sslfast.kernels.soft_cross_entropy.op import BACKWARD, SMALL
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_no_worse_than_eager, results

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# (B, K): ones, odd sizes, several blocks of rows, rows of several blocks.
SHAPES = [(1, 1), (1, 9), (9, 1), (5, 37), (130, 300), (3, 5000)]
T = 0.1


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


def inputs(shape, dtype=torch.float32, device="cpu", seed=0, scale=1.0):
    """Draws logits, and fp32 targets that sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator) * scale
    targets = torch.randn(shape, generator=generator).softmax(1)
    return logits.to(device, dtype), targets.to(device)


OPTIONS = {"asks": (0, 1), "temperature": T, "reduction": "none"}
run = functools.partial(results, K.soft_cross_entropy, **OPTIONS)
check_accuracy = functools.partial(
    assert_no_worse_than_eager, K.soft_cross_entropy, **OPTIONS, tolerance=torch.float32
)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_loss_and_gradients(impl, device, dtype, shape):
    check_accuracy(impl, *inputs(shape, dtype, device))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_targets_of_any_dtype(impl, device, dtype):
    logits, targets = inputs((5, 37), torch.bfloat16, device)
    check_accuracy(impl, logits, targets.to(dtype))


@pytest.mark.parametrize(("scale", "temperature"), [(1, 0.01), (1, 10), (1e4, 1), (1e4, 0.01), (1e-4, 10)])
def test_any_range_of_logits(impl, device, scale, temperature):
    check_accuracy(impl, *inputs((9, 150), device=device, scale=scale), temperature=temperature)


def test_rows_in_several_blocks_whose_maximum_rises(impl, device):
    logits, targets = inputs((3, 9000), device=device)
    check_accuracy(impl, logits.sort(dim=1).values - 1000, targets)


def test_the_loss_is_that_of_soft_labels(impl, device):
    logits, targets = inputs((7, 50), device=device)
    for reduction in ("mean", "sum", "none"):
        expected = F.cross_entropy(logits / T, targets, reduction=reduction)
        loss = K.soft_cross_entropy(logits, targets, temperature=T, reduction=reduction, impl=impl)
        torch.testing.assert_close(loss, expected)


def test_targets_need_not_sum_to_1(impl, device):
    logits, targets = inputs((7, 50), device=device)
    scale = torch.tensor([0.0, 1, 2, -1, 0.5, 30, 1], device=device)[:, None]
    check_accuracy(impl, logits, targets * scale)


def test_logits_all_equal(impl, device):
    logits, targets = inputs((4, 30), device=device)
    losses, d_logits, _ = run(impl, torch.full_like(logits, 7.0), targets)
    torch.testing.assert_close(losses, torch.full((4,), math.log(30), device=device))
    weights = torch.linspace(-1, 2, 4, device=device)[:, None]
    torch.testing.assert_close(d_logits, weights * (1 / 30 - targets) / T)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, 1], ids=["logits", "targets"])
def test_a_bad_row_stays_alone(impl, device, which, bad):
    tensors = inputs((40, 50), device=device)
    expected = run(impl, *tensors)
    tensors[which][7, 3] = bad
    good = torch.arange(40, device=device) != 7
    for out, want in zip(run(impl, *tensors), expected, strict=True):
        assert torch.equal(out[good], want[good])
    if math.isnan(bad):
        assert run(impl, *tensors)[0][7].isnan()


def test_no_samples(impl, device):
    logits, targets = inputs((0, 8), device=device)
    logits.requires_grad_()
    loss = K.soft_cross_entropy(logits, targets, temperature=T, impl=impl, reduction="sum")
    loss.backward()
    assert loss == 0
    assert logits.grad.shape == (0, 8)


def test_the_operator_of_the_gradient(impl, device):
    """It is an operator as torch wants it, and the loss's implementation is asked for the gradient too."""
    logits, targets = inputs((5, 37), torch.float16, device)
    calls, original = [], BACKWARD.call
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BACKWARD, "call", lambda *args: calls.append(args) or original(*args))
        run(impl, logits, targets)
    ((chosen, *args),) = calls
    assert chosen == impl
    torch.library.opcheck(getattr(torch.ops.sslfast.soft_cross_entropy_backward, impl), tuple(args))


def test_codes_of_sinkhorn_knopp_need_no_gradient(impl, device):
    """In SwAV codes of one view are targets for another, of which only the logits get a gradient."""
    scores, _ = inputs((6, 20), torch.float16, device, scale=0.3)
    scores.requires_grad_()
    codes = K.sinkhorn_knopp(scores)
    K.soft_cross_entropy(scores.flip(0), codes, temperature=T, impl=impl).backward()
    reference = scores.detach().clone().requires_grad_()
    K.soft_cross_entropy(reference.flip(0), codes, temperature=T, impl="reference").backward()
    torch.testing.assert_close(scores.grad, reference.grad)


@pytest.mark.parametrize(("k", "expected"), [(SMALL // 64 - 1, []), (SMALL // 64, ["triton" if GPU else "cpp"])])
def test_auto_leaves_small_matrices_on_the_cpu_to_eager(record_impls, k, expected):
    called = record_impls("soft_cross_entropy")
    K.soft_cross_entropy(*inputs((64, k), device="cuda" if GPU else "cpu"), temperature=T)
    assert called == (["triton"] if GPU else expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.randn(4)}, "expected logits of shape (B, K) with K > 0, got (4,)"),
        ({"logits": torch.randn(4, 0)}, "expected logits of shape (B, K) with K > 0, got (4, 0)"),
        ({"targets": torch.randn(4, 7)}, "expected targets of shape (4, 8) to match logits, got (4, 7)"),
        (
            {"logits": torch.ones(4, 8, dtype=torch.long)},
            "expected logits of a floating-point dtype, got torch.int64",
        ),
        (
            {"targets": torch.ones(4, 8, dtype=torch.long)},
            "expected targets of a floating-point dtype, got torch.int64",
        ),
        (
            {"targets": torch.randn(4, 8, device="meta")},
            "expected targets on cpu to match logits, got meta",
        ),
        ({"temperature": 0.0}, "expected a temperature > 0, got 0.0"),
        ({"reduction": "max"}, "expected reduction to be 'mean', 'sum' or 'none', got 'max'"),
    ],
)
def test_errors_say_what_came(change, message):
    logits, targets = inputs((4, 8))
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.soft_cross_entropy(**{"logits": logits, "targets": targets, "temperature": T} | change)
    assert str(error.value) == f"soft_cross_entropy: {message}"


shapes = st.tuples(st.integers(1, 9), st.integers(1, 70))
seeds = st.integers(0, 2**31)


def properties(function):
    quiet = [HealthCheck.function_scoped_fixture]  # `losses` keeps no state
    return settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=quiet)(function)


@pytest.fixture
def losses(impl, device):
    return lambda *tensors: K.soft_cross_entropy(
        *(tensor.to(device) for tensor in tensors), temperature=0.5, reduction="none", impl=impl
    ).cpu()


@properties
@given(shape=shapes, seed=seeds)
def test_the_order_of_classes_does_not_matter(losses, shape, seed):
    logits, targets = inputs(shape, seed=seed)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(losses(logits[:, order], targets[:, order]), losses(logits, targets))


@properties
@given(shape=shapes, seed=seeds, constant=st.floats(-100, 100))
def test_a_constant_to_a_row_changes_nothing(losses, shape, seed, constant):
    logits, targets = inputs(shape, seed=seed)
    torch.testing.assert_close(losses(logits + constant, targets), losses(logits, targets), rtol=1e-4, atol=1e-4)


@properties
@given(shape=shapes, seed=seeds)
def test_no_less_than_the_entropy_of_the_targets(losses, shape, seed):
    logits, targets = inputs(shape, seed=seed)
    entropy = -torch.special.xlogy(targets, targets).sum(1)
    assert (losses(logits, targets) >= entropy - 1e-5).all()
    torch.testing.assert_close(losses(targets.log() * 0.5, targets), entropy, rtol=1e-4, atol=1e-5)
