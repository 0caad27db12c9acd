"""Gathering with gradient, the losses that use it, and shuffling: two processes against one with all samples."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from sslfast import distributed
from sslfast import kernels as K
from sslfast.benchmarks.measure.memory import extra_memory
from sslfast.nn.compat import lightly
from tests.methods.harness import build_method, tiny_batch

RANKS = 2


def embeddings(dim):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(RANKS * 4, dim, generator=generator) for _ in range(2)]


def nt_xent(z1, z2):
    return K.nt_xent(F.normalize(z1, dim=1), F.normalize(z2, dim=1), temperature=0.5)


def barlow_twins(z1, z2):
    """Computes the loss of the mean of the ranks' matrices, each of samples that their own rank standardizes."""
    parts = [[F.batch_norm(part, None, None, training=True) for part in z.chunk(RANKS)] for z in (z1, z2)]
    c = sum(a.T @ b / len(a) for a, b in zip(*parts, strict=True)) / RANKS
    difference = (c - torch.eye(len(c))).square()
    return difference.trace() + 5e-3 * (difference.sum() - difference.trace())


def swav(z1, z2):
    return lightly.SwaVLoss()([z1, z2], [])[0]  # of all samples in one process


def first_column_of_all(z1, z2):
    """Computes a loss that weighs the rows of the ranks differently."""
    rows = distributed.gather(z1 * z2)
    return (rows[:, 0] * torch.arange(1, len(rows) + 1)).sum() / len(rows)


def msn(**settings):
    """Makes a loss of each view with the other's targets, whose regularization is of a rank's own anchors."""
    loss = lightly.MSNLoss(regularization_weight=0, **settings)
    prototypes = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    return lambda z1, z2: loss(z1, z2, prototypes) + loss(z2, z1, prototypes)


LOSSES = {
    "gather": (first_column_of_all, first_column_of_all),
    "nt_xent": (lightly.NTXentLoss(gather_distributed=True), nt_xent),
    "barlow_twins": (lightly.BarlowTwinsLoss(gather_distributed=True), barlow_twins),
    "dcl": (lightly.DCLLoss(gather_distributed=True), lightly.DCLLoss()),
    "vicreg": (lightly.VICRegLoss(gather_distributed=True), lightly.VICRegLoss()),
    "tico": (lightly.TiCoLoss(gather_distributed=True), lightly.TiCoLoss()),
    "msn": (msn(gather_distributed=True), msn()),
    "swav": (lambda a, b: lightly.SwaVLoss(sinkhorn_gather_distributed=True)([a, b], [])[0], swav),
}


def value_and_gradients(loss, tensors):
    tensors = [tensor.clone().requires_grad_() for tensor in tensors]
    value = loss(*tensors)
    return value.detach(), *torch.autograd.grad(value, tensors)


def work(rank, folder, expected):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    assert (distributed.rank(), distributed.world_size()) == (rank, RANKS)
    for name, (loss, _) in LOSSES.items():
        value, *gradients = value_and_gradients(loss, [z.chunk(RANKS)[rank] for z in embeddings(6)])
        dist.all_reduce(value)
        whole, *whole_gradients = expected[name]
        torch.testing.assert_close(value / RANKS, whole, msg=lambda text, name=name: f"{name}: {text}")
        for gradient, wanted in zip(gradients, whole_gradients, strict=True):
            own = wanted.chunk(RANKS)[rank] * RANKS  # of the sum of the ranks' losses
            torch.testing.assert_close(gradient, own, msg=lambda text, name=name: f"{name}: {text}")
    bank = lightly.NTXentLoss(memory_bank_size=(9, 6), gather_distributed=True)
    query, key = (z.chunk(RANKS)[rank] for z in embeddings(6))
    bank(query.clone().requires_grad_(), key)
    torch.testing.assert_close(bank.memory_bank.bank[:8], F.normalize(embeddings(6)[1], dim=1))
    check_second_derivatives()
    check_shuffling(rank)
    check_plain_collectives(rank)
    dist.destroy_process_group()


def check_second_derivatives():
    """Asserts that the second derivatives of the ranks' sum of x^3 of all rows are 6 x, from each rank."""
    for collective, factor in ((distributed.gather, RANKS), (distributed.mean, 1)):
        rows = torch.arange(1.0, 5.0).view(2, 2).requires_grad_()  # the same on all ranks
        (gradient,) = torch.autograd.grad(collective(rows).pow(3).sum(), rows, create_graph=True)
        torch.testing.assert_close(gradient, factor * 3 * rows**2)
        (second,) = torch.autograd.grad(gradient.sum(), rows)
        torch.testing.assert_close(second, factor * 6 * rows.detach())


def check_plain_collectives(rank):
    everyones = [torch.arange(3.0).view(-1, 1), torch.tensor([[7.0]])]  # of different numbers of rows
    assert torch.equal(distributed.gather_uneven(everyones[rank]), torch.cat(everyones))
    narrow = [rows.bfloat16() for rows in everyones]
    assert torch.equal(distributed.gather_uneven(narrow[rank]), torch.cat(narrow))
    many = torch.ones(2**21 + rank, 2)  # 16 MiB, of which all are gathered into 32
    extra = extra_memory(lambda: distributed.gather_uneven(many), torch.device("cpu"))
    assert extra is None or extra < 48 * 2**20
    assert torch.equal(distributed.local_rows(torch.arange(6)), torch.arange(6).chunk(RANKS)[rank])
    received = distributed.all_to_all(torch.tensor([10 * rank, 10 * rank + 1]))
    assert torch.equal(received, torch.tensor([rank, 10 + rank]))  # part `rank` of each
    assert distributed.largest(3 - rank) == 3
    assert distributed.world() is dist.group.WORLD

    image = torch.arange(2.0 * 3 * 4 * 4).view(2, 3, 4, 4).to(memory_format=torch.channels_last)
    tensors = [image * (rank + 1), torch.tensor(float(rank))]
    distributed.average_(tensors)
    assert torch.equal(tensors[0], image * 1.5)
    assert tensors[1] == 0.5
    distributed.broadcast_(tensors := [image + rank, torch.tensor(rank)])
    assert torch.equal(tensors[0], image)
    assert tensors[1] == 0


def check_shuffling(rank):
    torch.manual_seed(rank)  # the order is rank 0's
    everyones = torch.arange(RANKS * 8.0, requires_grad=True).view(-1, 2)
    own, order = distributed.shuffle(everyones.chunk(RANKS)[rank])
    torch.manual_seed(0)
    assert torch.equal(order, torch.randperm(RANKS * 4))
    assert torch.equal(own, everyones[order].chunk(RANKS)[rank])
    assert own[:, 0].max() - own[:, 0].min() > 6  # from both ranks
    assert torch.equal(distributed.unshuffle(own, order), everyones.chunk(RANKS)[rank])
    assert not own.requires_grad
    own.requires_grad_()
    (distributed.unshuffle(own, order) * everyones.detach().chunk(RANKS)[rank]).sum().backward()
    assert torch.equal(own.grad, own)  # each row's gradient is back where the row was made

    # MoCo's keys: normalized with the shuffled images, and back at their own images' places.
    method = build_method("moco_v2", dim=8, hidden=16, queue_size=32)
    views = torch.cat([tiny_batch(1, seed=r).views[0] for r in range(RANKS)])
    network = copy.deepcopy(method.key_network.module)
    torch.manual_seed(5)
    order = torch.randperm(len(views))
    keys = torch.empty(len(views), 8)
    keys[order] = torch.cat([network(part) for part in views[order].chunk(RANKS)]).detach()
    torch.manual_seed(5 + rank)
    (found,) = method.negatives.keys(views.chunk(RANKS)[rank])
    torch.testing.assert_close(found, F.normalize(keys, dim=1).chunk(RANKS)[rank])


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs gloo")
def test_two_ranks_against_one(tmp_path):
    """The losses and their gradients are those of one process; rows are shuffled over the ranks and back."""
    expected = {name: value_and_gradients(whole, embeddings(6)) for name, (_, whole) in LOSSES.items()}
    torch.multiprocessing.spawn(work, args=(str(tmp_path), expected), nprocs=RANKS)


def test_one_process_gathers_nothing():
    tensor = torch.randn(3, 2)
    before = tensor.clone()
    assert distributed.gather(tensor) is tensor
    assert distributed.mean(tensor) is tensor
    assert distributed.all_to_all(tensor) is tensor
    own, order = distributed.shuffle(tensor)
    assert torch.equal(own, tensor[order])
    assert torch.equal(distributed.unshuffle(own, order), tensor)
    assert distributed.gather_uneven(tensor) is tensor
    distributed.average_([tensor])
    distributed.broadcast_([tensor])
    assert torch.equal(tensor, before)
    assert torch.equal(distributed.local_rows(tensor), tensor)
    assert distributed.largest(-2) == -2
    assert distributed.world() is None
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
