"""Losses over the images of two processes equal those of one process that has all of them."""

import dataclasses

import pytest
import torch
import torch.distributed as dist

from tests.methods.harness import build_method, tiny_batch

RANKS = 2
HEAD = {"dim": 8, "hidden": 16}
METHODS = {
    "moco_v3": HEAD,
    "nnclr": {**HEAD, "predictor_hidden": 16, "queue_size": 32},
    "simclr": HEAD,
    "supcon": HEAD,
}


def part(data, rank):
    views = tuple(view.chunk(RANKS)[rank] for view in data.views)
    return dataclasses.replace(data, views=views, label=data.label.chunk(RANKS)[rank])


def loss_and_gradients(name, data):
    """Batch normalisation uses its running statistics: those of a batch are of one process."""
    method = build_method(name, **METHODS[name]).eval()
    loss, _ = method.loss(data)
    loss.backward()
    gradients = [p.grad for p in method.parameters() if p.grad is not None]
    return loss.detach(), gradients, getattr(method, "_keys", None)


def work(rank, folder, expected):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    for name, (whole, whole_gradients, keys) in expected.items():
        loss, gradients, own_keys = loss_and_gradients(name, part(tiny_batch(), rank))
        for ours, theirs in zip([loss, *gradients], [whole, *whole_gradients], strict=True):
            dist.all_reduce(ours)  # and the mean, as of DistributedDataParallel
            torch.testing.assert_close(ours / RANKS, theirs, rtol=1e-4, atol=1e-6, msg=name)
        if keys is not None:
            torch.testing.assert_close(own_keys, keys)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_two_ranks_learn_what_one_process_learns(tmp_path):
    expected = {name: loss_and_gradients(name, tiny_batch()) for name in METHODS}
    torch.multiprocessing.spawn(work, (str(tmp_path), expected), nprocs=RANKS)
