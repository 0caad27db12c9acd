"""sslfast.nn.compat without the originals: against their formulas, and what it refuses."""

import math

import pytest
import torch
import torch.nn.functional as F

from sslfast import kernels as K
from sslfast.nn.compat import lightly, pytorch_metric_learning
from tests.nn.compare import assert_same, embeddings


def pair_loss(z, labels, temperature):
    """Averages over pairs the cross-entropy of each against its anchor's negatives."""
    similarity = F.normalize(z, dim=1) @ F.normalize(z, dim=1).T / temperature
    losses = []
    for a in range(len(z)):
        for p in range(len(z)):
            if a != p and labels[a] == labels[p]:
                logits = torch.cat([similarity[a, p, None], similarity[a, labels != labels[a]]])
                losses.append(logits.logsumexp(0) - similarity[a, p])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 2, 7]])
def test_nt_xent_over_pairs(labels):
    labels = torch.tensor(labels)
    loss = pytorch_metric_learning.NTXentLoss(temperature=0.2)
    assert_same(
        lambda z: loss(z, labels), lambda z: pair_loss(z, labels, 0.2), embeddings(len(labels), 5, count=1)
    )


@pytest.mark.parametrize(("labels", "calls"), [([0, 1, 1, 0], 1), ([0, 1, 1, 2], 1), ([0, 0, 0, 1], 0)])
def test_up_to_two_of_a_label_are_computed_by_the_kernel(monkeypatch, labels, calls):
    called = []
    monkeypatch.setattr(K, "sup_con", lambda *_, **__: called.append(1))
    pytorch_metric_learning.NTXentLoss()(torch.randn(4, 3), torch.tensor(labels))
    assert len(called) == calls


def test_the_supervised_loss_leaves_out_anchors_without_a_positive():
    (z,) = embeddings(5, 8, count=1)
    loss = pytorch_metric_learning.SupConLoss(temperature=0.2)
    without = K.sup_con(F.normalize(z, dim=1), torch.tensor([0, 0, 1, 1, 2]), temperature=0.2, reduction="sum") / 4
    torch.testing.assert_close(loss(z, torch.tensor([0, 0, 1, 1, 2])), without)


@pytest.mark.parametrize("name", ["SupConLoss", "NTXentLoss"])
@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [0, 1, 2, 3], [5]])
def test_without_negatives_or_positives_loss_and_gradient_are_0(name, labels):
    (z,) = embeddings(len(labels), 8, count=1)
    z.requires_grad_()
    loss = getattr(pytorch_metric_learning, name)()(z, torch.tensor(labels))
    loss.backward()
    assert loss == 0
    assert not z.grad.any()


@pytest.mark.parametrize("name", ["SupConLoss", "NTXentLoss"])
@pytest.mark.parametrize("argument", ["distance", "reducer", "embedding_regularizer", "collect_stats"])
def test_settings_that_are_not_supported_are_refused(name, argument):
    with pytest.raises(NotImplementedError, match=f"{name}: {argument} is not supported; leave it out"):
        getattr(pytorch_metric_learning, name)(**{argument: True})


@pytest.mark.parametrize("name", ["SupConLoss", "NTXentLoss"])
@pytest.mark.parametrize("argument", ["indices_tuple", "ref_emb", "ref_labels"])
def test_inputs_that_are_not_supported_are_refused(name, argument):
    loss, labels = getattr(pytorch_metric_learning, name)(), torch.zeros(4, dtype=torch.long)
    with pytest.raises(NotImplementedError, match=f"{name}: {argument} is not supported; leave it out"):
        loss(torch.randn(4, 3), labels, **{argument: labels})


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="sigma"):
        pytorch_metric_learning.SupConLoss(sigma=1)


@pytest.mark.parametrize(
    ("z", "labels", "message"),
    [
        ((4, 3), None, r"expected labels of shape \(4,\), got None"),
        ((4, 3), (5,), r"expected labels of shape \(4,\), got \(5,\)"),
        ((4,), (4,), r"expected embeddings of shape \(M, D\), got \(4,\)"),
    ],
)
def test_shapes_that_do_not_fit(z, labels, message):
    labels = None if labels is None else torch.zeros(labels, dtype=torch.long)
    with pytest.raises(ValueError, match=message):
        pytorch_metric_learning.NTXentLoss()(torch.randn(z), labels)


def test_labels_that_are_no_integers():
    with pytest.raises(ValueError, match="NTXentLoss: expected labels of an integer dtype, got torch.float32"):
        pytorch_metric_learning.NTXentLoss()(torch.randn(4, 3), torch.zeros(4))


def test_the_memory_bank_is_a_queue_that_starts_again_at_row_0():
    loss = lightly.NTXentLoss(temperature=0.2, memory_bank_size=(7, 5))
    bank, pointer = loss.memory_bank.bank.clone(), 0
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(7))
    for step in range(6):
        query, key = embeddings(3, 5, seed=step)
        query.requires_grad_()
        value = loss(query, key)
        query, key = F.normalize(query, dim=1), F.normalize(key, dim=1)
        torch.testing.assert_close(value, K.info_nce(query, key, bank, temperature=0.2))  # before the update
        value.backward()
        count = min(3, 7 - pointer)
        bank[pointer : pointer + count] = key[:count]
        pointer = (pointer + 3) % 9 % 7 if pointer + 3 < 7 else 0
        torch.testing.assert_close(loss.memory_bank.bank, bank)
        assert loss.memory_bank.bank_ptr.tolist() == [pointer]


def test_a_loss_over_several_steps_has_the_gradients_of_each():
    """The loss's graph must not see the bank that later steps change; fp64 has the reference only."""
    loss = lightly.NTXentLoss(memory_bank_size=(8, 4)).double()
    batches = [[tensor.double() for tensor in embeddings(3, 4, seed=seed)] for seed in (0, 1)]
    for query, _ in batches:
        query.requires_grad_()
    banks, values = [], []
    for batch in batches:
        banks.append(loss.memory_bank.bank.clone())
        values.append(loss(*batch))
    sum(values).backward()
    for (query, key), bank in zip(batches, banks, strict=True):
        unit = F.normalize(query, dim=1)
        value = K.info_nce(unit, F.normalize(key, dim=1), bank, temperature=0.5)
        (expected,) = torch.autograd.grad(value, query)
        torch.testing.assert_close(query.grad, expected)


def test_a_memory_bank_of_unknown_width_takes_that_of_the_first_batch():
    loss = lightly.NTXentLoss(memory_bank_size=6)
    query, key = embeddings(3, 4)
    loss(query.requires_grad_(), key).backward()
    torch.testing.assert_close(loss.memory_bank.bank[:3], F.normalize(key, dim=1))
    assert loss.memory_bank.bank.shape == (6, 4)


def test_without_gradient_the_memory_bank_stays():
    loss = lightly.NTXentLoss(memory_bank_size=(8, 4))
    before = loss.memory_bank.bank.clone()
    loss(*embeddings(3, 4))
    assert torch.equal(loss.memory_bank.bank, before)


@pytest.mark.parametrize("size", [-1, (4, -1), (4, 3, 2), (), (4.5, 3), "4"])
def test_memory_bank_sizes_that_are_none(size):
    with pytest.raises(ValueError, match="expected size to be 0 or"):
        lightly.NTXentLoss(memory_bank_size=size)


@pytest.mark.parametrize(
    "loss",
    [lightly.NTXentLoss, lightly.SwaVLoss, pytorch_metric_learning.NTXentLoss, pytorch_metric_learning.SupConLoss],
)
@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_temperatures_that_are_none(loss, temperature):
    with pytest.raises(ValueError, match=f"{loss.__name__}: expected a temperature > 0, got {temperature}"):
        loss(temperature=temperature)


def test_one_graph():
    """No host read, and nothing that breaks torch.compile's graph."""
    torch.manual_seed(0)
    plain, compiled = (lightly.NTXentLoss(memory_bank_size=(8, 4)) for _ in range(2))
    compiled.memory_bank.bank.copy_(plain.memory_bank.bank)
    step = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    for seed in range(3):
        assert_same(step, plain, embeddings(3, 4, seed=seed))
    torch.testing.assert_close(dict(compiled.named_buffers()), dict(plain.named_buffers()))

    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    for loss in (pytorch_metric_learning.NTXentLoss(), pytorch_metric_learning.SupConLoss()):
        step = torch.compile(loss, fullgraph=True, backend="aot_eager")
        assert_same(lambda z, s=step: s(z, labels), lambda z, m=loss: m(z, labels), embeddings(6, 4, count=1))
