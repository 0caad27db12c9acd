"""sslfast.nn: that each module is its op, normalizes what it says, and keeps its settings."""

import pytest
import torch
import torch.nn.functional as F

from sslfast import kernels as K
from sslfast import nn
from sslfast.nn.compat import lightly, pytorch_metric_learning
from tests.nn.compare import assert_same, embeddings, normalized

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("module", "op", "extra"),
    [
        (nn.InfoNCELoss, K.info_nce, [torch.eye(8)]),
        (nn.InBatchInfoNCELoss, K.in_batch_info_nce, []),
        (nn.SupConLoss, K.sup_con, [LABELS]),
    ],
)
def test_contrastive_losses_are_their_ops(module, op, extra, reduction):
    tensors = normalized(6, 8)[: 1 if module is nn.SupConLoss else 2]
    loss = module(temperature=0.2, reduction=reduction, impl="reference")
    assert_same(
        lambda *inputs: loss(*inputs, *extra),
        lambda *inputs: op(*inputs, *extra, temperature=0.2, reduction=reduction),
        tensors,
    )
    loss.temperature = 1.0  # as a schedule would
    expected = op(*tensors, *extra, temperature=1.0, reduction=reduction)
    torch.testing.assert_close(loss(*tensors, *extra), expected)


@pytest.mark.parametrize(
    ("module", "op", "extra"),
    [
        (nn.InfoNCELoss, K.info_nce, [torch.eye(8)]),
        (nn.InBatchInfoNCELoss, K.in_batch_info_nce, []),
        (nn.NTXentLoss, K.nt_xent, []),
    ],
)
def test_positive_ranks_are_the_ops(module, op, extra):
    tensors = [*normalized(6, 8), *extra]
    loss, positive_rank = module(temperature=0.2)(*tensors, return_rank=True)
    expected_loss, expected_rank = op(*tensors, temperature=0.2, return_rank=True)
    torch.testing.assert_close(loss, expected_loss)
    assert torch.equal(positive_rank, expected_rank)


def test_in_batch_info_nce_passes_its_targets_on():
    query, keys = normalized(6, 4, count=1) + normalized(9, 4, seed=1, count=1)
    ids = torch.arange(6) % 2, torch.arange(9) % 2
    loss = nn.InBatchInfoNCELoss(temperature=0.2, chunks=2)
    expected = K.in_batch_info_nce(query, keys, temperature=0.2, chunks=2, offset=3, ids=ids)
    torch.testing.assert_close(loss(query, keys, offset=3, ids=ids), expected)
    assert loss(query, keys) != expected


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nt_xent_normalizes(reduction):
    def normalize_first(*z):
        return K.nt_xent(*(F.normalize(tensor, dim=1) for tensor in z), temperature=0.5, reduction=reduction)

    assert_same(nn.NTXentLoss(temperature=0.5, reduction=reduction), normalize_first, embeddings(5, 4))


@pytest.mark.parametrize(("globals_", "locals_"), [(2, 0), (1, 1), (2, 3), (3, 2)])
@pytest.mark.parametrize("queue", [None, 5])
def test_swav_is_the_sum_over_pairs_of_crops(globals_, locals_, queue):
    crops = [tensor.tanh() for tensor in embeddings(4, 7, count=globals_ + locals_)]
    queues = queue and [tensor.tanh() for tensor in embeddings(queue, 7, seed=1, count=globals_)]

    def pairs(*crops):
        total = 0
        for i in range(globals_):
            scores = torch.cat([crops[i], queues[i]]) if queues else crops[i]
            codes = K.sinkhorn_knopp(scores.detach(), epsilon=0.1, iterations=4)[:4]
            for v, prediction in enumerate(crops):
                if v != i:
                    total -= (codes * F.log_softmax(prediction / 0.2, dim=1)).sum(1).mean()
        return total / (globals_ * (len(crops) - 1))

    loss = nn.SwAVLoss(temperature=0.2, epsilon=0.1, iterations=4)
    assert_same(lambda *c: loss(c[:globals_], c[globals_:], queues), pairs, crops)
    each = nn.SwAVLoss(temperature=0.2, epsilon=0.1, iterations=4, reduction="none")
    torch.testing.assert_close(each(crops[:globals_], crops[globals_:], queues).mean(), pairs(*crops))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0, 2, None), "expected at least 1 global crop and 2 crops in all, got 0 global and 2 local"),
        ((1, 0, None), "expected at least 1 global crop and 2 crops in all, got 1 global and 0 local"),
        ((2, 0, 1), "expected 2 of queue_scores, one a global crop, got 1"),
    ],
)
def test_swav_refuses_numbers_of_crops(counts, message):
    first, second, queue = ([torch.zeros(2, 3)] * count if count is not None else None for count in counts)
    with pytest.raises(ValueError, match=message):
        nn.SwAVLoss()(first, second, queue)


def test_barlow_twins_is_its_op():
    tensors = embeddings(6, 8)
    expected = K.cross_correlation_loss(*tensors, lambd=0.1)
    torch.testing.assert_close(nn.BarlowTwinsLoss(lambd=0.1)(*tensors), expected)
    assert nn.BarlowTwinsLoss()(*tensors) != expected


def test_aligned_pooling_is_its_op():
    features, maps = torch.randn(2, 8, 3, 3), torch.randn(2, 6, 3, 3)
    pooled = nn.AlignedPooling(groups=2, order="paper")(features, maps)
    torch.testing.assert_close(pooled, K.aligned_pooling(features, maps, groups=2, order="paper"))
    assert not torch.equal(pooled, nn.AlignedPooling(groups=2)(features, maps))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_negative_cosine_similarity(reduction):
    prediction, target = embeddings(5, 4)
    losses = -(F.normalize(prediction, dim=1) * F.normalize(target, dim=1)).sum(1)
    expected = {"mean": losses.mean(), "sum": losses.sum(), "none": losses}[reduction]
    torch.testing.assert_close(nn.NegativeCosineSimilarity(reduction=reduction)(prediction, target), expected)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            nn.InBatchInfoNCELoss(temperature=0.2, chunks=3),
            "InBatchInfoNCELoss(chunks=3, temperature=0.2, reduction='mean', impl='auto', label_smoothing=0.0, "
            "positive_prior=0.0)",
        ),
        (
            nn.SwAVLoss(impl="reference"),
            "SwAVLoss(temperature=0.1, reduction='mean', impl='reference', epsilon=0.05, iterations=3)",
        ),
        (nn.BarlowTwinsLoss(), "BarlowTwinsLoss(lambd=0.005, impl='auto')"),
        (nn.NegativeCosineSimilarity(), "NegativeCosineSimilarity(dim=1, eps=1e-08, reduction='mean')"),
        (nn.AlignedPooling(), "AlignedPooling(groups=1, order='published', impl='auto')"),
    ],
)
def test_repr(module, text):
    assert repr(module) == text


@pytest.mark.parametrize("name", ["InfoNCELoss", "InBatchInfoNCELoss", "NTXentLoss", "SupConLoss", "SwAVLoss"])
def test_settings_out_of_range_are_refused_at_once(name):
    module = getattr(nn, name)
    with pytest.raises(ValueError, match=f"{name}: expected a temperature > 0, got 0"):
        module(temperature=0)
    with pytest.raises(ValueError, match=f"{name}: expected reduction to be"):
        module(temperature=1, reduction="max")
    with pytest.raises(ValueError, match=f"{name}: expected impl to be one of .*, got 'foo'"):
        module(temperature=1, impl="foo")


@pytest.mark.parametrize("name", ["InfoNCELoss", "InBatchInfoNCELoss", "NTXentLoss", "SupConLoss", "SwAVLoss"])
def test_the_temperature_may_be_given_without_its_name(name):
    assert getattr(nn, name)(0.3).temperature == 0.3


@pytest.mark.parametrize("name", ["InfoNCELoss", "InBatchInfoNCELoss", "NTXentLoss", "SupConLoss"])
def test_arguments_that_are_missing_or_unknown_name_the_class_that_was_called(name):
    with pytest.raises(TypeError, match=rf"^{name}\..* missing 1 required positional argument: 'temperature'"):
        getattr(nn, name)()
    with pytest.raises(TypeError, match=rf"^{name}\..* got an unexpected keyword argument 'tau'"):
        getattr(nn, name)(tau=1)


@pytest.mark.parametrize(
    "module", [nn.SwAVLoss, *(getattr(pytorch_metric_learning, n) for n in ("NTXentLoss", "SupConLoss"))]
)
def test_unknown_arguments_name_the_class_that_was_called(module):
    with pytest.raises(TypeError, match=rf"^{module.__name__}\b.* got an unexpected keyword argument 'tau'"):
        module(tau=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.InBatchInfoNCELoss(1, chunks=0), "expected chunks to be a whole number of at least 1, got 0"),
        (lambda: nn.SwAVLoss(iterations=0), "expected iterations to be a whole number of at least 1, got 0"),
        (lambda: nn.SwAVLoss(epsilon=0), "expected an epsilon from 1e-30 to 1e30, got 0"),
        (lambda: nn.BarlowTwinsLoss(lambd=-1), "expected a lambd >= 0, got -1"),
        (lambda: nn.BarlowTwinsLoss(impl="foo"), "expected impl to be one of .*, got 'foo'"),
        (lambda: nn.AlignedPooling(order="x"), "expected order to be 'published' or 'paper', got 'x'"),
        (lambda: nn.AlignedPooling(groups=0), "expected groups to be a whole number of at least 1, got 0"),
        (lambda: nn.AlignedPooling(impl="foo"), "expected impl to be one of .*, got 'foo'"),
        (
            lambda: nn.BarlowTwinsLoss(impl="cuda"),
            r"expected impl to be one of \('auto', 'reference', 'cpp', 'triton'\)",
        ),
        (lambda: nn.BarlowTwinsLoss(group=object(), impl="cpp"), r"expected impl .* 'reference'\) over a group"),
        (lambda: nn.SwAVLoss(impl="cuda"), r"expected impl to be one of \('auto', 'reference', 'cpp', 'triton'\)"),
        (lambda: nn.SwAVLoss(group=object(), impl="triton"), r"expected impl .* 'reference'\) over a group"),
        (lambda: nn.InBatchInfoNCELoss(1, impl="cuda"), r"expected impl to be one of .* got 'cuda'"),
        (lambda: nn.AlignedPooling(impl="cuda"), r"expected impl to be one of .* got 'cuda'"),
        (lambda: nn.NegativeCosineSimilarity(dim=1.5), "expected dim to be a whole number, got 1.5"),
        (lambda: nn.NegativeCosineSimilarity(eps=-1), "expected eps to be a finite number >= 0, got -1"),
        (lambda: lightly.NegativeCosineSimilarity(eps=float("nan")), "expected eps to be a finite .*, got nan"),
        (lambda: lightly.SwaVLoss(sinkhorn_iterations=0), "expected sinkhorn_iterations to be a whole number"),
        (lambda: lightly.SwaVLoss(sinkhorn_epsilon=0), "expected a sinkhorn_epsilon from 1e-30 to 1e30, got 0"),
        (lambda: lightly.BarlowTwinsLoss(lambda_param=-1), "expected a lambda_param >= 0, got -1"),
    ],
)
def test_a_constructor_refuses_what_the_op_would(make, message):
    with pytest.raises(
        ValueError, match=f"^(InBatchInfoNCELoss|Sw[Aa]VLoss|BarlowTwinsLoss|AlignedPooling|Neg.*): {message}"
    ):
        make()


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, other: nn.InfoNCELoss(0.2)(z, other, torch.randn(9, 4)),
        lambda z, other: nn.InBatchInfoNCELoss(0.2)(z, other),
        lambda z, other: nn.NTXentLoss(0.2)(z, other),
        lambda z, other: nn.SupConLoss(0.2)(torch.cat([z, other]), torch.arange(6).repeat(2)),
        lambda z, other: nn.SwAVLoss(0.2)([z, other]),
        lambda z, other: nn.BarlowTwinsLoss()(z, other),
        lambda z, other: nn.NegativeCosineSimilarity()(z, other),
        lambda z, other: lightly.NTXentLoss()(z, other),
        lambda z, other: lightly.NTXentLoss(memory_bank_size=(9, 4))(z, other),
        lambda z, other: lightly.SwaVLoss()([z, other], []),
        lambda z, other: lightly.BarlowTwinsLoss()(z, other),
        lambda z, other: lightly.NegativeCosineSimilarity()(z, other),
        lambda z, other: pytorch_metric_learning.NTXentLoss()(torch.cat([z, other]), torch.arange(6).repeat(2)),
        lambda z, other: pytorch_metric_learning.NTXentLoss()(torch.cat([z, other]), torch.arange(3).repeat(4)),
        lambda z, other: pytorch_metric_learning.SupConLoss()(torch.cat([z, other]), torch.arange(6).repeat(2)),
    ],
)
def test_nan_in_gives_nan_out(loss):
    """A loss of 0, or one of the other samples, would hide that a network has diverged."""
    z, other = embeddings(6, 4)
    assert loss(z, other).isfinite().all()
    z[2, 1] = float("nan")
    assert loss(z, other).isnan().all()
    assert loss(torch.full_like(z, float("nan")), torch.full_like(z, float("nan"))).isnan().all()
