"""The memory bank, its noise, and the losses against it."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.data import Batch
from sslfast.methods.parts.memory_bank import BankLoss, MemoryBank
from tests.methods.harness import KEEP, SKIP
from tests.methods.nce import nce


def unit(count, dim=8, seed=0):
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def batch_of(index, *, seed=0, epoch=0):
    return Batch(views=(), index=torch.tensor(index), label=None, seed=seed, epoch=epoch)


def test_rows_move_towards_embeddings_and_keep_their_length():
    bank, index = MemoryBank(10, 8), torch.tensor([7, 2, 5])
    before, new = bank.rows.clone(), unit(3)
    bank.update(index, new, momentum=0.7, skip=KEEP)
    torch.testing.assert_close(bank.rows[index], F.normalize(0.7 * before[index] + 0.3 * new, dim=1))
    others = torch.tensor([0, 1, 3, 4, 6, 8, 9])
    assert torch.equal(bank.rows[others], before[others])


def test_a_skipped_update_changes_nothing_even_for_nan():
    bank = MemoryBank(10, 8)
    before = bank.rows.clone()
    bank.update(torch.tensor([1, 2]), torch.full((2, 8), torch.nan), momentum=0.5, skip=SKIP)
    assert torch.equal(bank.rows, before)


def test_noise_is_uniform_over_the_other_images():
    bank = MemoryBank(9, 4)
    draws = torch.cat([bank.noise(batch_of([6, 0, 3], epoch=epoch), 100) for epoch in range(60)])
    counts = torch.bincount(draws, minlength=9)
    assert counts[[0, 3, 6]].tolist() == [0, 0, 0]
    others = counts[[1, 2, 4, 5, 7, 8]] / len(draws)
    torch.testing.assert_close(others, torch.full((6,), 1 / 6), rtol=0, atol=0.02)


def test_noise_is_a_function_of_seed_epoch_and_images():
    bank, first = MemoryBank(50, 4), batch_of([4, 40, 11])
    assert torch.equal(bank.noise(first, 20), bank.noise(batch_of([4, 40, 11]), 20))
    assert bank.noise(first, 20).shape == (20,)
    for other in (batch_of([4, 40, 12]), batch_of([4, 40, 11], seed=1), batch_of([4, 40, 11], epoch=1)):
        assert not torch.equal(bank.noise(first, 20), bank.noise(other, 20))


def test_nce_and_its_gradient_equal_the_transcription():
    images, temperature = 30, 0.1
    query, positive, noise = unit(4).double(), unit(4, seed=1).double(), unit(12, seed=2).double()
    ours, theirs = query.clone().requires_grad_(), query.clone().requires_grad_()
    loss_fn = BankLoss("nce", temperature)
    logits = torch.cat([(query * positive).sum(1, keepdim=True), query @ noise.T], dim=1) / temperature
    z = images * logits.exp().mean()  # equation 8, over positives and noise, as in the authors' code
    loss, *_ = loss_fn(ours, positive, noise)
    expected = nce(theirs, positive, noise, temperature, z, images)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6, check_dtype=False)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_the_partition_constant_is_the_first_steps():
    loss_fn = BankLoss("nce", 0.1)
    *_, estimate = loss_fn(unit(4), unit(4, seed=1), unit(12, seed=2))
    loss_fn.after_step(estimate, SKIP)
    assert loss_fn.partition == 0
    loss_fn.after_step(estimate, KEEP)
    first = loss_fn.partition.clone()
    logits = (
        torch.cat([(unit(4) * unit(4, seed=1)).sum(1, keepdim=True), unit(4) @ unit(12, seed=2).T], dim=1) / 0.1
    )
    torch.testing.assert_close(first, logits.exp().mean())
    before = copy.deepcopy(loss_fn)
    loss, _, estimate = loss_fn(unit(4, seed=5), unit(4, seed=6), unit(12, seed=7))
    loss_fn.after_step(estimate, KEEP)
    assert loss_fn.partition == first
    expected = nce(unit(4, seed=5), unit(4, seed=6), unit(12, seed=7), 0.1, 30 * before.partition, 30)
    torch.testing.assert_close(loss, expected)


def test_softmax_is_the_positive_among_the_noise():
    query, positive, noise = unit(4), unit(4, seed=1), unit(12, seed=2)
    loss, *_ = BankLoss("softmax", 0.2)(query, positive, noise)
    logits = torch.cat([(query * positive).sum(1, keepdim=True), query @ noise.T], dim=1) / 0.2
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.zeros(4, dtype=torch.int64)))


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_accuracy_is_how_often_the_positive_comes_first(objective):
    query, noise = unit(4), unit(12, seed=2)
    positive = torch.stack([query[0], -query[1], query[2], query[3]])
    _, accuracy, _ = BankLoss(objective, 0.2)(query, positive, noise)
    assert accuracy == 0.75
