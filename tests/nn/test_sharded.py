"""InfoNCE against a queue in parts, one on each rank: losses and gradients are those of the whole queue."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from sslfast.benchmarks.exchange.counter import counted
from sslfast.nn import InfoNCELoss
from sslfast.nn.sharded import merge

RANKS, N, D, TEMPERATURE = 4, 5, 16, 0.1
LENGTHS = (33, 0, 64, 7)  # of the ranks' parts of the queue


def rows(ranks, dtype):
    """Draws the queries and positives of all ranks, and the parts of the queue."""
    generator = torch.Generator().manual_seed(0)

    def unit(count):
        return F.normalize(torch.randn(count, D, generator=generator, dtype=torch.float64), dim=1).to(dtype)

    return unit(ranks * N), unit(ranks * N), [unit(length) for length in LENGTHS[:ranks]]


def check(group, dtype, reduction, learnable):
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    query, positive, parts = rows(ranks, dtype)
    weights = torch.linspace(0.5, 2, ranks * N, dtype=dtype)  # of the losses, where they are not reduced
    settings = {"temperature": TEMPERATURE, "learnable_temperature": learnable, "reduction": reduction}

    def results(loss, part, queue):
        """Returns the loss, positive ranks and gradients of a part of the rows."""
        inputs = [tensor[part].clone().requires_grad_() for tensor in (query, positive)]
        value, positive_rank = loss(*inputs, queue, return_rank=True)
        (value * weights[part]).sum().backward() if reduction == "none" else value.backward()
        learned = [loss.log_temperature.grad] if learnable else []
        return [value.detach(), positive_rank, *(tensor.grad for tensor in inputs)], learned

    own = slice(rank * N, (rank + 1) * N)
    found, learned = results(InfoNCELoss(group=group, **settings), own, parts[rank])
    expected, _ = results(InfoNCELoss(**settings), own, torch.cat(parts))  # this rank's loss, with all keys
    torch.testing.assert_close(found, expected)
    for gradient in learned:  # the sum of the ranks' is that of the sum of their losses
        dist.all_reduce(gradient, group=group)
        wholes = [
            results(InfoNCELoss(**settings), slice(r * N, (r + 1) * N), torch.cat(parts)) for r in range(ranks)
        ]
        torch.testing.assert_close(gradient, sum(of_loss[0] for _, of_loss in wholes))


def check_bytes(group):
    """Asserts what docs/drop-in.md says of the bytes."""
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    query, positive, parts = rows(ranks, torch.float32)
    query.requires_grad_()
    with counted(torch.nn.Identity()) as handed:
        InfoNCELoss(TEMPERATURE, group=group)(query[:N], positive[:N], parts[rank]).backward()
    gathered = 4 * N * D
    assert handed == {
        "all_gather": 2 * gathered,
        "reduce_scatter": ranks * gathered,
        "all_to_all": 2 * 4 * ranks * N,
    }


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    two = [dist.new_group(pair) for pair in ([0, 2], [1, 3])][rank % 2]
    for group in (two, dist.group.WORLD):
        for dtype in (torch.float64, torch.float32):
            check(group, dtype, "mean", learnable=False)
            check(group, dtype, "none", learnable=True)
        check_bytes(group)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs gloo")
def test_a_queue_in_parts_is_the_whole_queue(tmp_path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=RANKS)


@pytest.mark.parametrize("scale", [1e-3, 1, 30, 1000])
def test_merged_losses_are_exact_from_the_smallest_to_the_largest(scale):
    """Of logits so far from the positive's that a part's sum of exponentials is no number, or the loss is 0."""
    generator = torch.Generator().manual_seed(1)
    logits = scale * torch.randn(3, 4, 6, generator=generator, dtype=torch.float64).requires_grad_()  # (W, K, N)
    logits.retain_grad()
    weights = torch.arange(1.0, 7, dtype=torch.float64)

    def info_nce(logits):  # (K, N), those of the negatives less the positive's
        return torch.cat([logits, torch.zeros(1, 6, dtype=torch.float64)]).logsumexp(dim=0)

    (expected,) = torch.autograd.grad((info_nce(logits.flatten(0, 1)) * weights).sum(), logits)
    merged = merge(torch.stack([info_nce(part) for part in logits]))
    torch.testing.assert_close(merged, info_nce(logits.flatten(0, 1)))
    (gradient,) = torch.autograd.grad((merged * weights).sum(), logits)
    torch.testing.assert_close(gradient, expected)


def test_a_loss_that_is_rounded_below_zero_merges_to_zero():
    losses = torch.tensor([[-1e-8, 0.0], [0.0, 1e-7]], requires_grad=True)
    merged = merge(losses)
    torch.testing.assert_close(merged, torch.tensor([0.0, 1e-7]))
    merged.sum().backward()
    torch.testing.assert_close(losses.grad, torch.ones(2, 2))


@pytest.mark.parametrize("share", ["label_smoothing", "positive_prior"])
def test_forms_that_need_the_whole_queue_are_refused(share):
    message = "InfoNCELoss: label_smoothing and positive_prior are of a whole queue"
    with pytest.raises(ValueError, match=message):
        InfoNCELoss(0.1, group=object(), **{share: 0.1})
    loss = InfoNCELoss(0.1, group=object())
    setattr(loss, share, 0.1)
    with pytest.raises(ValueError, match=message):
        loss(torch.eye(2), torch.eye(2), torch.eye(2))
