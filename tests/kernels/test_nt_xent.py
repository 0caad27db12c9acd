"""NT-Xent runs the kernels of sup_con, whose tests are in test_sup_con.py."""

import functools
import math

import pytest
import torch
from torch.nn import functional as F

from sslfast import kernels as K
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_no_worse_than_eager, results

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
T = 0.2
every_impl = pytest.mark.parametrize("impl", ["reference", "cpp", "triton"])
both_paths = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


def views(n, d, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    z1, z2 = (F.normalize(torch.randn(n, d, generator=generator), dim=1) for _ in range(2))
    return z1.to(device, dtype), z2.to(device, dtype)


OPTIONS = {"asks": (0, 1), "temperature": T, "reduction": "none"}
run = functools.partial(results, K.nt_xent, **OPTIONS)
check_accuracy = functools.partial(assert_no_worse_than_eager, K.nt_xent, **OPTIONS)


@every_impl
def test_simclrs_formula(impl, device):
    z1, z2 = views(5, 7, device=device)
    z = torch.cat([z1, z2])
    similarity = F.cosine_similarity(z[:, None], z[None], dim=2)
    powers = (similarity / T).exp()
    losses = []
    for i in range(10):
        j = (i + 5) % 10
        losses.append(-(powers[i, j] / sum(powers[i, k] for k in range(10) if k != i)).log())
    losses = torch.stack(losses)
    for reduction, expected in (("none", losses), ("mean", losses.mean()), ("sum", losses.sum())):
        loss = K.nt_xent(z1, z2, temperature=T, reduction=reduction, impl=impl)
        torch.testing.assert_close(loss, expected)


@every_impl
@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (33, 20), (70, 130)], ids=str)
def test_is_sup_con_with_a_label_a_pair(impl, device, shape):
    z1, z2 = views(*shape, device=device)
    labels = torch.arange(len(z1), device=device).repeat(2)

    def sup_con(z1, z2, **options):
        return K.sup_con(torch.cat([z1, z2]), labels, **options)

    torch.testing.assert_close(run(impl, z1, z2), results(sup_con, impl, z1, z2, **OPTIONS))


@pytest.mark.parametrize("shape", [(1, 3), (3, 600), (67, 33), (96, 16)], ids=str)
@both_paths
def test_loss_and_gradients(impl, device, dtype, shape):
    check_accuracy(impl, *views(*shape, dtype, device))


@both_paths
def test_gradients_of_the_mean(impl, device, dtype):
    """The operators compute it: it has a way of its own through both passes."""
    check_accuracy(impl, *views(33, 20, dtype, device), reduction="mean")
    z = torch.cat(views(5, 8, dtype, device)).requires_grad_()
    torch.library.opcheck(getattr(torch.ops.sslfast.nt_xent, impl), (z, T, True, True))


@both_paths
def test_one_pair_has_nothing_to_tell_apart(impl, device, dtype):
    losses, d1, d2 = run(impl, *views(1, 4, dtype, device))
    assert not losses.any()
    assert not d1.any()
    assert not d2.any()


def test_views_all_equal(impl, device):
    z = torch.ones(35, 16, device=device)
    loss = K.nt_xent(z, z, temperature=T, impl=impl)
    assert loss.item() == pytest.approx(math.log(69), rel=1e-5)


@both_paths
def test_no_samples(impl, device, dtype):
    z1, z2 = views(0, 4, dtype, device)
    loss = K.nt_xent(z1.requires_grad_(), z2, temperature=T, reduction="sum", impl=impl)
    loss.backward()
    assert loss == 0
    assert z1.grad.shape == (0, 4)


def test_the_views_may_change_places(impl, device):
    z1, z2 = views(9, 6, device=device)
    losses = K.nt_xent(z1, z2, temperature=T, reduction="none", impl=impl)
    swapped = K.nt_xent(z2, z1, temperature=T, reduction="none", impl=impl)
    torch.testing.assert_close(swapped, losses.roll(9))


def test_compiles_for_any_batch_size(impl, device):
    def loss(z1, z2):
        return K.nt_xent(F.normalize(z1, dim=1), z2, temperature=T, impl=impl)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for n in (6, 9):  # the second batch size makes the shape dynamic
        z1, z2 = views(n, 8, device=device)
        z1.requires_grad_()
        out, expected = compiled(z1, z2), loss(z1, z2)
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(torch.autograd.grad(out, z1), torch.autograd.grad(expected, z1))


@pytest.mark.parametrize("impl", ["reference", "cpp"])
def test_ranks_of_large_batches_are_off_by_no_more_than_ties_within_rounding(impl):
    """Among 2000^2 products some tie in fp32: such a negative may count or not, in eager PyTorch too."""
    z1, z2 = (F.normalize(z, dim=1) for z in views(1000, 12))
    _, positive_rank = K.nt_xent(z1, z2, temperature=T, return_rank=True, impl=impl)
    z = torch.cat([z1, z2]).double()
    others = z @ z.T
    others.fill_diagonal_(-math.inf)
    positive = others.gather(1, torch.arange(len(z)).roll(len(z1))[:, None])
    tie = 4 * torch.finfo(torch.float32).eps  # of products of at most 1
    least, most = ((others > positive + shift).sum(1) for shift in (tie, -tie))
    assert ((positive_rank >= least) & (positive_rank <= most - 1)).all()  # the positive is within its own tie
    assert (most - 1 - least).float().mean() < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z1": torch.randn(4)}, "nt_xent: expected z1 of shape (N, D) with D > 0, got (4,)"),
        ({"z1": torch.randn(4, 0)}, "nt_xent: expected z1 of shape (N, D) with D > 0, got (4, 0)"),
        ({"z2": torch.randn(5, 8)}, "nt_xent: expected z2 of shape (4, 8) to match z1, got (5, 8)"),
        (
            {"z2": torch.randn(4, 8).half()},
            "nt_xent: expected z2 of dtype torch.float32 to match z1, got torch.float16",
        ),
        ({"z2": torch.randn(4, 8, device="meta")}, "nt_xent: expected z2 on cpu to match z1, got meta"),
        ({"temperature": -1}, "nt_xent: expected a temperature > 0, got -1"),
        ({"reduction": "max"}, "nt_xent: expected reduction to be 'mean', 'sum' or 'none', got 'max'"),
    ],
)
def test_errors_say_what_came(change, message):
    z1, z2 = views(4, 8)
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.nt_xent(**{"z1": z1, "z2": z2, "temperature": T} | change)
    assert str(error.value) == message


def test_auto_runs_the_compiled_kernel(record_impls):
    called = record_impls("nt_xent")
    K.nt_xent(*views(200, 8, device="cuda" if GPU else "cpu"), temperature=T)
    assert called == ["triton" if GPU else "cpp"]
