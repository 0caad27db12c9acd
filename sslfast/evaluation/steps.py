"""The training of a network by a number of steps, for evaluations; it goes on where it was interrupted."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sslfast.errors import TrainingError
from sslfast.evaluation.progress import restore_progress, save_progress
from sslfast.progress import tqdm
from sslfast.random.philox import permutation, words

log = logging.getLogger(__name__)

PARTS = 20  # of a training, after each of which its progress is written
CHOICES = 2**16  # a stream of random numbers, far from those that batches are made of

Batch = TypeVar("Batch")


def train_by_steps(
    network: nn.Module,
    optimizer: Optimizer,
    batches: Callable[[range], Generator[Batch, None, None]],
    losses: Callable[[Batch], dict[str, Tensor]],
    rate: Callable[[int], float],
    *,
    num_steps: int,
    seed: int,
    device: torch.device,
    progress: Path,
) -> None:
    """Trains a network on the sum of its losses.

    What the network itself chooses at random, by torch's generators, depends on the seed and the step alone; after
    the training the generators are as they were.

    Args:
        network: on the device, in training mode; it is trained in place.
        optimizer: of its parameters.
        batches: the batches of some steps, counted from 0.
        losses: the losses of a batch by their names, 0-d tensors.
        rate: the learning rate of a step.
        num_steps: in all.
        seed: of the network's choices.
        device: where to train.
        progress: a file that is written after each twentieth of the training and removed at the end: if it is
            there, training goes on from it, to the same result.

    Raises:
        UsageError: the file is damaged, or of another training.
        TrainingError: it cannot be written, or the loss is not finite.
    """
    first = restore_progress(progress, network, optimizer, "step")
    part = max(1, num_steps // PARTS)
    seen: list[dict[str, Tensor]] = []
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        tqdm(total=num_steps, initial=first, desc="training", leave=False, disable=None) as bar,
        closing(batches(range(first, num_steps))) as coming,
    ):
        for step, batch in enumerate(coming, first):
            torch.manual_seed(int(words(seed, step, [0], CHOICES, 1)[0, 0]))
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            terms = losses(batch)
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
            seen.append({name: term.detach() for name, term in terms.items()})
            bar.update()
            if (done := step + 1) % part == 0 or done == num_steps:
                bar.set_postfix(loss=_report(seen, done, num_steps))
                seen.clear()
                save_progress(progress, network, optimizer, done)
    progress.unlink(missing_ok=True)


def image_order(num_images: int, seed: int, start: int) -> Iterator[int]:
    """Yields the images' positions in pass after pass, from the one of number `start` on."""
    first, skipped = divmod(start, num_images)
    for epoch in count(first):
        yield from permutation(seed, epoch, num_images)[skipped if epoch == first else 0 :].tolist()


def _report(seen: list[dict[str, Tensor]], done: int, num_steps: int) -> str:
    """Logs the mean losses of some steps; returns their sum as text. Raises TrainingError if it is not finite."""
    means = {name: torch.stack([terms[name] for terms in seen]).mean().item() for name in seen[0]}
    total = sum(means.values())
    if not math.isfinite(total):
        raise TrainingError(f"the loss is {total} in the steps to {done} of {num_steps}; set a lower lr")
    shares = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    log.info("step %d of %d: loss %.3f%s", done, num_steps, total, f" ({shares})" if len(means) > 1 else "")
    return f"{total:.3f}"
