"""Everything that sends tensors between processes, compiled by torch.compile, gives what it gives uncompiled."""

import pytest
import torch
import torch.distributed as dist

from sslfast import distributed
from sslfast import kernels as K
from sslfast.nn import InfoNCELoss
from sslfast.nn.compat import lightly

RANKS = 2
BACKENDS = ("eager", "aot_eager")


def weighted(rows):
    """Computes a loss of rows that has another gradient for each of them, and on each rank."""
    weights = torch.arange(1, rows.numel() + 1, dtype=rows.dtype).view_as(rows) + 3 * distributed.rank()
    return (rows.sin() * weights).sum()


def reordered(rows):
    order = torch.arange(RANKS * len(rows)).roll(3)
    return weighted(distributed.unshuffle(rows, order))


def in_place(collective):
    """Makes a function of rows that returns what the collective left in copies of them."""

    def left(rows):
        copies = [rows.detach().clone(), rows.detach()[0].clone()]
        collective(copies)
        return copies

    return left


def cases():
    """Maps names to functions of two views, whose first result may have a gradient, and whether one graph each."""
    torch.manual_seed(0)
    bank = lightly.NTXentLoss(memory_bank_size=(9, 5), gather_distributed=True)
    vectors = bank.memory_bank.bank.clone()

    def banked(a, b):
        bank.memory_bank.bank.copy_(vectors)
        bank.memory_bank.bank_ptr.zero_()
        return bank(a, b), bank.memory_bank.bank.clone()

    group = dist.group.WORLD
    whole = {
        "gather": lambda a, b: weighted(distributed.gather(a * b)),
        "all_to_all": lambda a, b: weighted(distributed.all_to_all(a * b)),
        "mean": lambda a, b: weighted(distributed.mean(a * b)),
        "unshuffle": lambda a, b: reordered(a * b),
        "local_rows": lambda a, b: weighted(distributed.local_rows(a * b)),
        "average_": lambda a, b: in_place(distributed.average_)(a),
        "cross_correlation_loss": lambda a, b: K.cross_correlation_loss(a, b, lambd=5e-3, group=group),
        "sinkhorn_knopp": lambda a, b: K.sinkhorn_knopp(a * b, group=group),
        "InfoNCELoss": lambda a, b: InfoNCELoss(0.2, group=group)(a, b, a.detach()),
        "lightly.BarlowTwinsLoss": lightly.BarlowTwinsLoss(gather_distributed=True),
        "lightly.NTXentLoss": lightly.NTXentLoss(gather_distributed=True),
        "lightly.NTXentLoss with a bank": banked,
        "lightly.SwaVLoss": lambda a, b: lightly.SwaVLoss(sinkhorn_gather_distributed=True)([a, b], []),
    }
    broken = {  # a broadcast, or a number read from the device, breaks the graph
        "shuffle": lambda a, b: distributed.shuffle(a * b),
        "broadcast_": lambda a, b: in_place(distributed.broadcast_)(a),
        "gather_uneven": lambda a, b: distributed.gather_uneven(a[: 2 + distributed.rank()]),
        "largest": lambda a, b: a * distributed.largest(3 - distributed.rank()),
    }
    return {name: (f, True) for name, f in whole.items()} | {name: (f, False) for name, f in broken.items()}


def results(function, rank):
    """Lists what the function returns, and the gradients of its first result."""
    generator = torch.Generator().manual_seed(1 + rank)
    views = [torch.randn(4, 5, generator=generator).requires_grad_() for _ in range(2)]
    torch.manual_seed(rank)  # of a shuffle
    values = function(*views)
    values = list(values) if isinstance(values, (tuple, list)) else [values]
    if values[0].requires_grad:
        gradients = torch.autograd.grad(values[0].sum(), views, allow_unused=True)
        values += [gradient for gradient in gradients if gradient is not None]
    return [value.detach() for value in values]


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    for name, (function, one_graph) in cases().items():
        expected = results(function, rank)
        for backend in BACKENDS:
            torch.compiler.reset()
            compiled = torch.compile(function, backend=backend, fullgraph=one_graph)
            torch.testing.assert_close(
                results(compiled, rank), expected, msg=lambda text, n=name, b=backend: f"{n}, {b}: {text}"
            )
    dist.destroy_process_group()


@pytest.mark.long
@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs gloo")
def test_compiled_collectives_are_as_uncompiled(tmp_path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=RANKS)
