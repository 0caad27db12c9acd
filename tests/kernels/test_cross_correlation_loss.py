"""The loss of Barlow Twins: shapes on both sides of N = D, extreme values, errors, invariances, two processes."""

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
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# (N, D): ones, N below and above D and equal to it, more than a tile of rows and of columns.
SHAPES = [(1, 1), (1, 5), (2, 1), (7, 3), (3, 7), (64, 64), (65, 33), (33, 65), (200, 140), (140, 300), (300, 20)]
LAMBDA = 0.0051


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


def inputs(shape, dtype=torch.float32, device="cpu", seed=0):
    """Draws two views that agree in part, with columns of different means and scales."""
    generator = torch.Generator().manual_seed(seed)
    z1, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    scale, mean = (torch.rand(shape[1], generator=generator) + 0.5 for _ in range(2))
    return tuple((z * scale + mean).to(device, dtype) for z in (z1, 0.8 * z1 + 0.6 * noise))


run = functools.partial(results, K.cross_correlation_loss, asks=(0, 1), lambd=LAMBDA)
check_accuracy = functools.partial(assert_no_worse_than_eager, K.cross_correlation_loss, asks=(0, 1), lambd=LAMBDA)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_loss_and_gradients(impl, device, dtype, shape):
    check_accuracy(impl, *inputs(shape, dtype, device))


@pytest.mark.parametrize("lambd", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_any_weight(impl, device, shape, lambd):
    check_accuracy(impl, *inputs(shape, device=device), lambd=lambd)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_any_scale(impl, device, shape, scale):
    check_accuracy(impl, *(scale * z for z in inputs(shape, device=device)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_equal_views(impl, device, shape, dtype):
    z, _ = inputs(shape, dtype, device)
    check_accuracy(impl, z, z.clone())


@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_constant_columns_and_equal_rows(impl, device, shape):
    z1, z2 = inputs(shape, device=device)
    z1[:, 3] = 2.0
    z2[:, 3] = z2[:, 5] = -1.0
    check_accuracy(impl, z1, z2)
    loss, *gradients = run(impl, z1[:1].expand(shape), z2)
    assert loss == pytest.approx(shape[1], rel=1e-4)
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_a_bad_value_shows(impl, device, shape, bad):
    z1, z2 = inputs(shape, device=device)
    z1[7, 3] = bad
    assert run(impl, z1, z2)[0].isnan()


def test_the_loss_is_that_of_the_paper():
    z1, z2 = inputs((9, 6))
    a, b = (F.batch_norm(z, None, None, training=True, eps=1e-5) for z in (z1, z2))
    c = a.T @ b / 9
    on_diagonal = (c.diagonal() - 1).pow(2).sum()
    off_diagonal = (c * (1 - torch.eye(6))).pow(2).sum()
    for impl in ("reference", "cpp"):
        loss = K.cross_correlation_loss(z1, z2, lambd=LAMBDA, impl=impl)
        torch.testing.assert_close(loss, on_diagonal + LAMBDA * off_diagonal)


@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_no_gradient_is_computed_in_vain(impl, device, shape, monkeypatch):
    asked = []
    call = lib.OPS["cross_correlation_loss"].call
    monkeypatch.setattr(
        lib.OPS["cross_correlation_loss"], "call", lambda *args: asked.append(args[-2:]) or call(*args)
    )
    z1, z2 = inputs(shape, device=device)
    losses = [K.cross_correlation_loss(z1, z2, lambd=LAMBDA, impl=impl)]
    losses.append(K.cross_correlation_loss(z1.requires_grad_(), z2, lambd=LAMBDA, impl=impl))
    with torch.no_grad():
        losses.append(K.cross_correlation_loss(z1, z2.requires_grad_(), lambd=LAMBDA, impl=impl))
    assert asked == [(False, False), (True, False), (False, False)]
    assert losses[0] == losses[1] == losses[2]


Z = torch.randn(4, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z1": torch.randn(4)}, "expected z1 of shape (N > 0, D > 0), got (4,)"),
        ({"z1": torch.randn(0, 4)}, "expected z1 of shape (N > 0, D > 0), got (0, 4)"),
        ({"z2": torch.randn(4, 9)}, "expected z2 of shape (4, 8) to match z1, got (4, 9)"),
        ({"z2": Z.half()}, "expected z2 of dtype torch.float32 to match z1, got torch.float16"),
        ({"z1": Z.long(), "z2": Z.long()}, "expected z1 of a floating-point dtype, got torch.int64"),
        ({"z2": Z.to("meta")}, "expected z2 on cpu to match z1, got meta"),
        ({"lambd": -1.0}, "expected a lambd >= 0, got -1.0"),
        ({"lambd": math.nan}, "expected a lambd >= 0, got nan"),
        ({"lambd": "1"}, "expected a lambd >= 0, got '1'"),
    ],
)
def test_errors_say_what_came(change, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.cross_correlation_loss(**{"z1": Z, "z2": Z, "lambd": LAMBDA} | change)
    assert str(error.value) == "cross_correlation_loss: " + message


def test_a_group_is_for_the_reference():
    with pytest.raises(RuntimeError, match="impl='cpp' is not available: it works on one process"):
        K.cross_correlation_loss(Z, Z, lambd=LAMBDA, group=object(), impl="cpp")


def test_auto_runs_the_compiled_kernel(record_impls):
    called = record_impls("cross_correlation_loss")
    K.cross_correlation_loss(*inputs((3, 7)), lambd=LAMBDA)
    asking = [z.requires_grad_() for z in inputs((7, 3))]
    K.cross_correlation_loss(*asking, lambd=LAMBDA)
    assert called == ["cpp", "cpp"]
    with torch.no_grad():
        K.cross_correlation_loss(*asking, lambd=LAMBDA)
    assert called == ["cpp", "cpp"]  # the reference


@pytest.mark.parametrize("offset", [0, 50])
def test_autocast_rounds_nothing(impl, device, offset):
    """In bf16, embeddings of mean 50 and standard deviation 1 keep 5 values; the gradient was 39 % off."""
    views = tuple(z + offset for z in inputs((24, 10), device=device))
    expected = run("reference", *(z.double() for z in views))
    with torch.autocast(device.type, torch.bfloat16):
        found = run(impl, *views)
        mixed = K.cross_correlation_loss(views[0], views[1].half(), lambd=LAMBDA, impl=impl)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value.double(), wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())
    assert mixed.isfinite()


shapes, seeds = st.tuples(st.integers(2, 40), st.integers(1, 40)), st.integers(0, 2**31)


def properties(function):
    quiet = [HealthCheck.function_scoped_fixture]  # `device` keeps no state
    return settings(max_examples=15, suppress_health_check=quiet)(given(shape=shapes, seed=seeds)(function))


@properties
def test_the_order_of_samples_and_of_features_does_not_matter(impl, device, shape, seed):
    views = inputs(shape, device=device, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(size, generator=generator).to(device) for size in shape)
    shuffled = [z[rows][:, columns] for z in views]
    losses = [K.cross_correlation_loss(*each, lambd=LAMBDA, impl=impl) for each in (views, shuffled)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


@properties
def test_views_may_be_exchanged_shifted_and_scaled(impl, device, shape, seed):
    z1, z2 = (10 * z for z in inputs(shape, device=device, seed=seed))  # the variances far above epsilon
    moved = z2, 3 * z1 + 1
    losses = [K.cross_correlation_loss(*each, lambd=LAMBDA, impl=impl) for each in ((z1, z2), moved)]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)


def _rank(rank, folder, sizes, views):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(sizes)
    )
    parts = [z.split(sizes)[rank].clone() for z in views]
    group = torch.distributed.group.WORLD
    ops = [K.cross_correlation_loss, torch.compile(K.cross_correlation_loss, backend="eager", fullgraph=True)]
    values = [results(op, "reference", *parts, asks=(0, 1), lambd=LAMBDA, group=group) for op in ops]
    torch.save(values, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("sizes", [(6, 6), (3, 8)], ids=str)
def test_two_processes_equal_one(tmp_path, sizes):
    """As it is, and compiled."""
    views = tuple(z.double() for z in inputs((sum(sizes), 10)))
    torch.multiprocessing.spawn(_rank, (str(tmp_path), sizes, views), nprocs=2)
    expected, *gradients = run("reference", *views)
    for ranks in zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True):
        for loss, *_ in ranks:
            torch.testing.assert_close(loss, expected)
        for i, gradient in enumerate(gradients):
            whole = torch.cat([rank[1 + i] for rank in ranks]) / 2  # DistributedDataParallel's mean
            torch.testing.assert_close(whole, gradient)
