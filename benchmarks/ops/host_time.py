"""The host's time for a call of each op on a few numbers, beside the formula in plain PyTorch.

    python -m sslfast.benchmarks.ops.host_time

On a few numbers there is nothing to compute: what is left are the argument checks, torch's dispatch and autograd,
which a GPU waits for where batches are small. Forward and backward, where there is a backward. It is the time that
the calling thread runs, which other processes do not change; both forms take turns, and the least of their rounds
counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast import kernels
from sslfast.benchmarks.measure.machine import describe

ROUNDS, CALLS = 20, 200
N, K, D = 8, 16, 8
TEMPERATURE = 0.1

Form = Callable[[], Any]
Forms = tuple[Form, Form, Sequence[Tensor]]  # ours, eager, and the tensors that get a gradient


def unit(rows: int, *, grad: bool = False) -> Tensor:
    """Draws rows of length 1, the same at every call."""
    generator = torch.Generator().manual_seed(rows)
    return F.normalize(torch.randn(rows, D, generator=generator), dim=1).requires_grad_(grad)


def step_of(form: Form, inputs: Sequence[Tensor]) -> Form:
    """Returns the form itself; with its backward pass, where tensors get a gradient."""

    def both_passes() -> None:
        form().backward()
        for tensor in inputs:
            tensor.grad = None

    return both_passes if inputs else form


def info_nce() -> Forms:
    query, positive, queue = unit(N, grad=True), unit(N), unit(K)
    first = torch.zeros(N, dtype=torch.int64)

    def eager() -> Tensor:
        logits = torch.cat([(query * positive).sum(1, keepdim=True), query @ queue.T], dim=1) / TEMPERATURE
        return F.cross_entropy(logits, first)

    def ours() -> Tensor:
        return kernels.info_nce(query, positive, queue, temperature=TEMPERATURE)

    return ours, eager, [query]


def in_batch_info_nce() -> Forms:
    query, keys = unit(N, grad=True), unit(K, grad=True)
    own = torch.arange(N)

    def ours() -> Tensor:
        return kernels.in_batch_info_nce(query, keys, temperature=TEMPERATURE)

    def eager() -> Tensor:
        return F.cross_entropy(query @ keys.T / TEMPERATURE, own)

    return ours, eager, [query, keys]


def nt_xent() -> Forms:
    z1, z2 = unit(N, grad=True), unit(K)[:N].requires_grad_()
    itself, other = torch.eye(2 * N, dtype=torch.bool), torch.arange(2 * N).roll(N)

    def ours() -> Tensor:
        return kernels.nt_xent(z1, z2, temperature=TEMPERATURE)

    def eager() -> Tensor:
        z = torch.cat([z1, z2])
        return F.cross_entropy((z @ z.T / TEMPERATURE).masked_fill(itself, -torch.inf), other)

    return ours, eager, [z1, z2]


def sup_con() -> Forms:
    z, labels = unit(2 * N, grad=True), torch.arange(2 * N) % 4
    itself = torch.eye(2 * N, dtype=torch.bool)

    def eager() -> Tensor:
        positive = (labels[:, None] == labels) & ~itself
        log_p = (z @ z.T / TEMPERATURE).masked_fill(itself, -torch.inf).log_softmax(dim=1)
        return -(log_p.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1)).mean()

    return lambda: kernels.sup_con(z, labels, temperature=TEMPERATURE), eager, [z]


def cross_correlation_loss() -> Forms:
    z1, z2 = unit(N, grad=True), unit(K)[:N].requires_grad_()
    lambd, diagonal = 5e-3, torch.eye(D)

    def eager() -> Tensor:
        a, b = ((z - z.mean(0)) * (z.var(0, correction=0) + 1e-5).rsqrt() for z in (z1, z2))
        c = a.T @ b / N
        return ((c - diagonal).square() * (diagonal + lambd * (1 - diagonal))).sum()

    return lambda: kernels.cross_correlation_loss(z1, z2, lambd=lambd), eager, [z1, z2]


def soft_cross_entropy() -> Forms:
    logits, targets = unit(N, grad=True), unit(N).abs().softmax(dim=1)

    def ours() -> Tensor:
        return kernels.soft_cross_entropy(logits, targets, temperature=TEMPERATURE)

    def eager() -> Tensor:
        return F.cross_entropy(logits / TEMPERATURE, targets)

    return ours, eager, [logits]


def aligned_pooling() -> Forms:
    features = torch.arange(2.0 * D * 9).sin().view(2, D, 3, 3).requires_grad_()
    maps = torch.arange(2.0 * 4 * 9).cos().view(2, 4, 3, 3).requires_grad_()

    def ours() -> Tensor:
        return kernels.aligned_pooling(features, maps).sum()

    def eager() -> Tensor:
        weights = F.normalize(maps.flatten(2), dim=1).softmax(dim=2)
        return (weights @ features.flatten(2).transpose(1, 2)).sum()

    return ours, eager, [features, maps]


def nearest_neighbor() -> Forms:
    query, queue = unit(N), unit(K)

    def eager() -> tuple[Tensor, Tensor]:
        similarity, place = (F.normalize(query, dim=1) @ F.normalize(queue, dim=1).T).max(dim=1)
        return place, similarity

    return lambda: kernels.nearest_neighbor(query, queue), eager, []


def sinkhorn_knopp() -> Forms:
    scores = unit(N)

    def eager() -> Tensor:
        q = torch.exp(scores / 0.05)
        for _ in range(3):
            q /= q.sum(dim=0)
            q /= q.sum(dim=1, keepdim=True)
        return q

    return lambda: kernels.sinkhorn_knopp(scores), eager, []


def enqueue_() -> Forms:
    queue, keys, pointer = unit(K), unit(N), torch.zeros((), dtype=torch.int64)
    rows = torch.arange(N)

    def ours() -> Tensor:
        kernels.enqueue_(queue, keys, pointer)
        return queue

    def eager() -> Tensor:
        queue[(pointer + rows) % K] = keys
        pointer.add_(N).remainder_(K)
        return queue

    return ours, eager, []


def ema_update_() -> Forms:
    sources = [unit(K) for _ in range(4)]
    targets = [unit(K).neg() for _ in sources]

    def ours() -> Tensor:
        kernels.ema_update_(targets, sources, 0.99)
        return targets[0]

    def eager() -> Tensor:
        torch._foreach_lerp_(targets, sources, 0.01)
        return targets[0]

    return ours, eager, []


FORMS = (
    info_nce,
    in_batch_info_nce,
    nt_xent,
    sup_con,
    cross_correlation_loss,
    soft_cross_entropy,
    aligned_pooling,
    nearest_neighbor,
    sinkhorn_knopp,
    enqueue_,
    ema_update_,
)


def microseconds(forms: Sequence[Form]) -> list[float]:
    """Measures the least time that a call of each form keeps the thread busy, of ROUNDS in turns."""
    best = [float("inf")] * len(forms)
    for round_number in range(ROUNDS + 1):
        for place, form in enumerate(forms):
            start = time.thread_time()
            for _ in range(CALLS):
                form()
            if round_number:  # the first one warms up
                best[place] = min(best[place], (time.thread_time() - start) / CALLS * 1e6)
    return best


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="PATH", type=Path, help="a file for the results")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    results = []
    for build in FORMS:
        *forms, inputs = build()
        ours, eager = microseconds([step_of(form, inputs) for form in forms])
        results.append({"op": build.__name__, "ours": ours, "eager": eager, "ratio": ours / eager})
        print(f"{build.__name__:<24}{ours:7.1f} us{eager:7.1f} us{ours / eager:7.2f}x", flush=True)
    if args.json is not None:
        command = f"python -m sslfast.benchmarks.ops.host_time --json {args.json}"
        content = {"header": {**describe(torch.device("cpu")), "command": command}, "results": results}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
