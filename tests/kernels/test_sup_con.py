"""The supervised contrastive loss: the paper's formula, gradients of any size, labels, errors, invariances."""

import functools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sslfast import kernels as K
from sslfast.kernels.sup_con import op
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_no_worse_than_eager, results

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# (M, D, labels): ones, odd sizes, all alike, none alike, two and more blocks of rows, whole ones, wide rows.
SHAPES = [
    (1, 1, 1),
    (2, 3, 1),
    (2, 3, 9),
    (9, 8, 1),
    (7, 5, 10**6),
    (150, 33, 4),
    (128, 32, 4),
    (67, 130, 3),
    (12, 300, 2),
    (9, 520, 3),
]
T = 0.1
# Triton takes fp16 through its own matrix products, fp32 through torch's.
both_paths = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


def inputs(shape, dtype=torch.float32, device="cpu", seed=0, scale=1.0):
    """Draws features with logits of about `scale` before the temperature, and labels."""
    m, d, classes = shape
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(m, d, generator=generator) * math.sqrt(scale / math.sqrt(d))
    labels = torch.randint(classes, (m,), generator=generator) - classes // 2
    return features.to(device, dtype), labels.to(device)


OPTIONS = {"asks": (0,), "temperature": T, "reduction": "none"}
run = functools.partial(results, K.sup_con, **OPTIONS)
check_accuracy = functools.partial(assert_no_worse_than_eager, K.sup_con, **OPTIONS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_loss_and_gradient(impl, device, dtype, shape):
    interpreter.skip_products_in_bf16(impl, dtype)
    check_accuracy(impl, *inputs(shape, dtype, device))


@pytest.mark.parametrize("m", [256, 300, 512, 1100, 2100])  # 4, 5, 8, 9 and 16 blocks, which meet in pairs
def test_cpp_with_many_blocks(m):
    check_accuracy("cpp", *inputs((m, 16, 20)))


@both_paths
@pytest.mark.parametrize(("scale", "temperature"), [(1, 0.01), (1, 10), (1e4, 1), (1e2, 0.01), (1e-4, 10)])
def test_any_range_of_logits(impl, device, dtype, scale, temperature):
    check_accuracy(impl, *inputs((70, 16, 5), dtype, device, scale=scale), temperature=temperature)


@both_paths
@pytest.mark.parametrize("classes", [1, 3])
def test_long_rows_that_are_the_same(impl, device, dtype, classes):
    """The mean over the positives is each product: its rounding, 1e-4, must not show in the loss."""
    m = 300
    generator = torch.Generator().manual_seed(0)
    row = 10 * F.normalize(torch.randn(1, 64, generator=generator), dim=1)
    features, labels = row.to(device, dtype).repeat(m, 1), torch.arange(m, device=device) % classes
    losses = K.sup_con(features, labels, temperature=T, reduction="none", impl=impl)
    torch.testing.assert_close(losses, torch.full_like(losses, math.log(m - 1)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("temperature", [1e-10, 1e-20])
def test_cpp_with_logits_whose_rounding_is_far_above_one(temperature):
    features, labels = inputs((300, 64, 10))
    check_accuracy("cpp", F.normalize(features, dim=1), labels, temperature=temperature)


def test_rows_wider_than_registers_in_several_blocks(impl, device, monkeypatch):
    if impl == "triton":
        from sslfast.kernels.sup_con import triton_launch

        monkeypatch.setattr(triton_launch, "BLOCK_ELEMENTS", 50)
    check_accuracy(impl, *inputs((11, 520, 3), torch.float16, device))


@pytest.mark.parametrize(("d", "resident"), [(256, True), (257, False)])
def test_the_rows_that_tritons_own_products_take_on_any_gpu(d, resident):
    triton_launch = pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    features = torch.empty(3, d, dtype=torch.bfloat16)
    assert triton_launch.is_resident(features) == resident
    assert not triton_launch.is_resident(features.float())


def by_hand(features, labels):
    """Computes equation 2 of the paper, term by term."""
    logits, losses = (features @ features.T / T).exp(), []
    for i in range(len(features)):
        others = [a for a in range(len(features)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        total = logits[i, others].sum()
        terms = [-(logits[i, p] / total).log() for p in positives]
        losses.append(sum(terms) / len(positives) if positives else None)
    return losses


@pytest.mark.parametrize("impl", ["reference", "cpp", "triton"])
def test_the_papers_formula(impl, device):
    features, labels = inputs((13, 6, 6), device=device)
    losses = by_hand(features, labels)
    assert None in losses  # an anchor without positives
    expected = [loss for loss in losses if loss is not None]
    for reduction, value in (("sum", sum(expected)), ("mean", sum(expected) / len(expected))):
        loss = K.sup_con(features, labels, temperature=T, reduction=reduction, impl=impl)
        torch.testing.assert_close(loss, value)
    none = K.sup_con(features, labels, temperature=T, reduction="none", impl=impl)
    torch.testing.assert_close(none, torch.tensor([0 if x is None else x for x in losses], device=device))


@pytest.mark.parametrize("impl", ["reference", "cpp", "triton"])
@pytest.mark.parametrize("m", [0, 1, 8])
@both_paths
def test_no_positives_at_all(impl, device, dtype, m):
    features, _ = inputs((m, 5, 1), dtype, device)
    features.requires_grad_()
    loss = K.sup_con(features, torch.arange(m, device=device), temperature=T, impl=impl)
    loss.backward()
    assert loss == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


@both_paths
def test_gradients_of_any_size(impl, device, dtype):
    """fp16 holds neither 1/M of a probability nor a gradient scaler's 2^16; only the result must fit."""
    features, labels = inputs((40, 8, 3), dtype, device)
    losses = K.sup_con(features.requires_grad_(), labels, temperature=T, reduction="none", impl=impl)
    small, large = (
        torch.autograd.grad(losses, features, torch.full_like(losses, size), retain_graph=True)[0]
        for size in (2.0**-10, 2.0**10)
    )
    torch.testing.assert_close(small * 2.0**20, large, rtol=1e-2, atol=0.5)


@both_paths
def test_the_gradient_of_a_loss_that_is_0_for_lack_of_positives_is_ignored(impl, device, dtype):
    features, _ = inputs((6, 5, 1), dtype, device)
    labels = torch.tensor([0, 0, 1, 1, 1, 2], device=device)
    losses = K.sup_con(features.requires_grad_(), labels, temperature=T, reduction="none", impl=impl)
    weights = torch.ones_like(losses)
    (expected,) = torch.autograd.grad(losses, features, weights, retain_graph=True)
    weights[5] = math.nan
    assert torch.equal(torch.autograd.grad(losses, features, weights)[0], expected)


@both_paths
def test_rows_all_equal(impl, device, dtype):
    features = torch.full((70, 16), 5.0, dtype=dtype, device=device)
    labels = torch.zeros(70, dtype=torch.long, device=device)
    losses, gradient = run(impl, features, labels, temperature=0.001)
    torch.testing.assert_close(losses, torch.full_like(losses, math.log(69)), rtol=1e-5, atol=1e-5)
    assert gradient.isfinite().all()


@both_paths
def test_a_bad_row_shows_where_it_is_involved_only(impl, device, dtype):
    features, _ = inputs((20, 8, 1), dtype, device)
    labels = torch.arange(20, device=device) // 2
    numbers = torch.arange(20, device=device)
    features[:, 3] = features[:, 3].abs()
    expected, _ = run(impl, features[numbers != 7], labels[numbers != 7])
    features[7, 3] = -math.inf  # products with it are -inf: out of the others' denominators
    losses, _ = run(impl, features, labels)
    torch.testing.assert_close(losses[labels != 3], expected[labels[numbers != 7] != 3])
    assert not losses[labels == 3].isfinite().any()
    features[7, 3] = math.nan
    labels[:2] = torch.tensor([100, 101])
    losses, _ = run(impl, features, labels)
    assert torch.equal(losses.isnan(), numbers >= 2)


def test_labels_of_any_integer_type_and_layout(impl, device):
    features, labels = inputs((30, 8, 4), device=device)
    expected = K.sup_con(features, labels, temperature=T, impl=impl)
    for other in (labels.int(), labels.to(torch.int8), labels.repeat_interleave(2)[::2], labels * 2**50):
        assert torch.equal(K.sup_con(features, other, temperature=T, impl=impl), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.randn(4)}, "sup_con: expected features of shape (M, D) with D > 0, got (4,)"),
        ({"features": torch.randn(4, 0)}, "sup_con: expected features of shape (M, D) with D > 0, got (4, 0)"),
        (
            {"features": torch.ones(4, 8).int()},
            "sup_con: expected features of a floating-point dtype, got torch.int32",
        ),
        ({"labels": torch.zeros(5).long()}, "sup_con: expected labels of shape (4,) to match features, got (5,)"),
        (
            {"labels": torch.zeros(4, 1).long()},
            "sup_con: expected labels of shape (4,) to match features, got (4, 1)",
        ),
        ({"labels": torch.zeros(4)}, "sup_con: expected labels of an integer dtype, got torch.float32"),
        ({"labels": torch.zeros(4).bool()}, "sup_con: expected labels of an integer dtype, got torch.bool"),
        (
            {"labels": torch.zeros(4, dtype=torch.long, device="meta")},
            "sup_con: expected labels on cpu to match features, got meta",
        ),
        ({"temperature": 0.0}, "sup_con: expected a temperature > 0, got 0.0"),
        ({"reduction": "max"}, "sup_con: expected reduction to be 'mean', 'sum' or 'none', got 'max'"),
    ],
)
def test_errors_say_what_came(change, message):
    features, labels = inputs((4, 8, 2))
    arguments = {"features": features, "labels": labels, "temperature": T} | change
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.sup_con(**arguments)
    assert str(error.value) == message


def test_auto_runs_the_compiled_kernel(record_impls):
    features, labels = inputs((40, 8, 3), device="cuda" if GPU else "cpu")
    called = record_impls("sup_con")
    K.sup_con(features, labels, temperature=T)
    assert called == ["triton" if GPU else "cpp"]


@pytest.mark.parametrize("labeled", [True, False])
@both_paths
def test_opcheck_of_the_backward_operator(impl, device, dtype, labeled):
    features, labels = inputs((6, 5, 2), dtype, device)
    labels = labels if labeled else None
    rows = op.OP.call(impl, features, labels, T)
    operator = getattr(torch.ops.sslfast.sup_con_backward, impl)
    torch.library.opcheck(operator, (rows[0], features, labels, *rows[1:], T))


@pytest.mark.parametrize(
    ("logs", "shift"),
    [
        ([-3.0, 60.0], 60.0),
        ([0.0, 65.0], math.inf),
        ([2000.0, 2001.0], math.inf),
        ([math.nan, 1.0], math.inf),
        ([1.0, -math.inf], math.inf),
    ],
)
def test_a_shift_that_tritons_gradient_can_give_all_powers(device, logs, shift):
    """It is the largest log2 Z, unless one is too far from the others for fp32; every program sees all of them."""
    triton_launch = pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    m, block = 40, 16
    d_loss, count = torch.linspace(-4, 2, m, device=device), torch.ones(m, device=device)
    top, log_sum = torch.full((m,), 0.5, device=device), torch.full((m,), logs[1] - 1.0, device=device)
    log_sum[[0, 39]] = torch.tensor(logs, device=device) - 1.0
    push, pull, shifted = (torch.full_like(top, math.nan) for _ in range(3))
    numbers = torch.full((2,), math.nan, device=device)
    triton_launch.prepare_kernel[(3,)](
        d_loss, count, top, log_sum, push, pull, shifted, numbers, m, 2.0, BM=block, MEAN=False, num_warps=1
    )
    assert numbers.tolist() == [4.0, shift]
    torch.testing.assert_close(push, d_loss / 4 * torch.exp2(-log_sum), equal_nan=True)
    torch.testing.assert_close(pull, d_loss / 4)
    if shift < math.inf:
        torch.testing.assert_close(shifted, pull * torch.exp2(shift - log_sum - 1))


@both_paths
def test_tritons_gradient_of_a_mean_is_that_of_its_losses(device, dtype):
    pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    features, labels = inputs((150, 24, 4), dtype, device)
    losses, *rows = op.OP.call("triton", features, labels, T)
    mean = torch.tensor(3.0, device=device)
    gradient = op.BACKWARD.call("triton", mean, features, labels, *rows, T)
    expected = op.BACKWARD.call("triton", (mean / len(losses)).expand_as(losses), features, labels, *rows, T)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("parts", [1, 2, 17, 40])
def test_triton_adds_the_parts_of_a_gradient(device, parts):
    triton_launch = pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    bs, be = triton_launch.sum_config(parts)
    shares = torch.randn(parts, 3, 700, device=device)
    total = torch.full((3, 700), math.nan, dtype=torch.float16, device=device)
    grid = (-(-total.numel() // be),)
    triton_launch.sum_kernel[grid](shares, total, total.numel(), parts, BS=bs, BE=be, num_warps=4)
    torch.testing.assert_close(total, shares.sum(0).half())


@pytest.mark.parametrize(
    ("m", "d", "labeled", "chosen"),
    [
        (4096, 128, False, (True, 3, 168)),
        (4096, 16, False, (True, 3, 168)),
        (4032, 128, False, (True, 2, None)),
        (4096, 128, True, (True, 2, None)),
        (4096, 256, False, (True, 2, None)),
        (4096, 96, False, (False, 2, None)),
        (4096, 8, False, (False, 2, None)),
        (4130, 128, False, (False, 2, None)),
    ],
)
def test_how_many_blocks_of_tritons_gradient_share_a_processor(m, d, labeled, chosen):
    triton_launch = pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    c = triton_launch.choose_config(m, d, 132, True, labeled=labeled, backward=True, roomy=True)
    assert (c.WHOLE, c.blocks, c.maxnreg) == chosen


@pytest.mark.parametrize("shape", [(150, 24, 4), (192, 32, 4)], ids=["tiles", "whole tiles"])
@pytest.mark.parametrize("labeled", [True, False])
def test_tritons_gradients_with_a_common_shift_and_without(device, monkeypatch, labeled, shape):
    triton_launch = pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    features, labels = inputs(shape, torch.float16, device)
    features, labels = F.normalize(features, dim=1), labels if labeled else None
    losses, *rows = op.OP.call("triton", features, labels, T)
    d_loss = torch.linspace(-1, 1, len(losses), device=device)
    kernel, shifts = triton_launch.gradient_kernel, []

    class WithoutShift:
        def __getitem__(self, grid):
            def launch(*arguments, **constants):
                numbers = arguments[6]
                shifts.append(numbers[1].item())
                numbers[1] = math.inf
                return kernel[grid](*arguments, **constants)

            return launch

    gradient = op.BACKWARD.call("triton", d_loss, features, labels, *rows, T)
    monkeypatch.setattr(triton_launch, "gradient_kernel", WithoutShift())
    expected = op.BACKWARD.call("triton", d_loss, features, labels, *rows, T)
    assert shifts[0] < math.inf
    torch.testing.assert_close(gradient, expected, rtol=2e-3, atol=2e-3 * expected.abs().max().item())


seeds = st.integers(0, 2**31)
shapes = st.tuples(st.integers(1, 20), st.integers(1, 12), st.integers(1, 5))


@pytest.fixture
def losses(impl, device):
    return lambda features, labels: K.sup_con(
        features.to(device), labels.to(device), temperature=0.5, reduction="none", impl=impl
    ).cpu()


def properties(function):
    quiet = [HealthCheck.function_scoped_fixture]  # `losses` keeps no state
    return settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=quiet)(function)


@properties
@given(shape=shapes, seed=seeds)
def test_the_order_of_the_rows_does_not_matter(losses, shape, seed):
    features, labels = inputs(shape, seed=seed)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(losses(features[order], labels[order]), losses(features, labels)[order])


@properties
@given(shape=shapes, seed=seeds)
def test_the_names_of_the_labels_do_not_matter(losses, shape, seed):
    features, labels = inputs(shape, seed=seed)
    names = torch.randperm(2**16, generator=torch.Generator().manual_seed(seed)) * 2**45
    torch.testing.assert_close(losses(features, names[labels + 8]), losses(features, labels))
