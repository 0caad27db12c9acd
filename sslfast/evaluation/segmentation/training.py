"""The training of a segmentation network."""

from __future__ import annotations

import logging
import math
from contextlib import closing
from pathlib import Path
from textwrap import shorten

import torch
from torch import Tensor
from tqdm import tqdm

from sslfast.config import DataConfig
from sslfast.data.evaluation import normalize
from sslfast.data.masks import MaskedImages
from sslfast.device import to_device
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluation.segmentation.config import SegmentConfig
from sslfast.evaluation.segmentation.crops import crop_batches
from sslfast.evaluation.segmentation.fcn import FCN
from sslfast.kernels.optimizers import FusedSGD
from sslfast.random.philox import words
from sslfast.run import checkpoint

log = logging.getLogger(__name__)

POWER, LEAST_RATE = 0.9, 1e-4  # of the schedule "poly", as mmsegmentation has it (schedule_20k)
PARTS = 20  # of a training, after each of which its progress is written
DROPPED = 2  # a stream of random numbers, beside those of the crops


def train_network(
    network: FCN,
    images: MaskedImages,
    data: DataConfig,
    options: SegmentConfig,
    device: torch.device,
    progress: Path,
) -> None:
    """Trains a segmentation network by SGD, at a rate that falls as (1 - t / T) ^ 0.9.

    Args:
        network: on the device; it is trained in place.
        images: all of which can be read.
        data: `mean` and `std` of the encoder's input.
        options: the schedule.
        device: where to train.
        progress: a file that is written after each twentieth of the training and removed at the end: if it is
            there, training goes on from it, to the same result.

    Raises:
        UsageError: the file is damaged, or of another training.
        TrainingError: it cannot be written, or the loss is not finite.
    """
    optimizer = FusedSGD(
        network.parameters(), options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
    first = _resume(network, optimizer, progress) if progress.exists() else 0
    part = max(1, options.iterations // PARTS)
    batches = crop_batches(
        images,
        data.mean,
        size=options.size,
        batch_size=options.batch_size,
        iterations=range(first, options.iterations),
        seed=options.seed,
    )
    losses: list[Tensor] = []
    network.train()
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        tqdm(total=options.iterations, initial=first, desc="segmentation", leave=False, disable=None) as bar,
        closing(batches),
    ):
        for iteration, (pixels, masks) in enumerate(batches, first):
            torch.manual_seed(int(words(options.seed, iteration, [0], DROPPED, 1)[0, 0]))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(iteration, options.iterations, options.lr)
            crops = normalize(to_device(pixels, device).permute(0, 3, 1, 2), data.mean, data.std)
            loss = network.loss(crops, to_device(masks, device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            bar.update()
            if (done := iteration + 1) % part == 0 or done == options.iterations:
                mean = torch.stack(losses).mean().item()
                losses.clear()
                if not math.isfinite(mean):
                    raise TrainingError(f"evaluate segment: the loss is {mean} at step {done}; set a lower lr")
                log.info("step %d of %d: loss %.3f", done, options.iterations, mean)
                bar.set_postfix(loss=f"{mean:.3f}")
                _save(network, optimizer, progress, done)
    progress.unlink(missing_ok=True)


def learning_rate(step: int, total_steps: int, peak: float) -> float:
    """The rate of a step, counted from 0: from the peak to LEAST_RATE, or to the peak where that is less."""
    least = min(LEAST_RATE, peak)
    return least + (peak - least) * (1 - step / total_steps) ** POWER


def _save(network: FCN, optimizer: FusedSGD, progress: Path, steps: int) -> None:
    state = {"steps": steps, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    progress.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(progress, state)


def _resume(network: FCN, optimizer: FusedSGD, progress: Path) -> int:
    """Restores what a training left; returns the number of its steps."""
    state = checkpoint.load(progress)
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        steps = int(state["steps"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = shorten(str(error), 200)
        raise UsageError(f"{progress}: not of this training ({reason}); remove it to begin anew") from error
    log.info("%s: goes on after step %d", progress, steps)
    return steps
