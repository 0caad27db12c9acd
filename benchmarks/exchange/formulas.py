"""The bytes that a rank exchanges and holds in a training step, as formulas; docs/scaling.md states them in words.

A rank hands tensors to collectives: its rows to an all-gather, its addend to an all-reduce. On a ring of n ranks
it then sends `RING` times as much. `benchmarks.exchange.bench` and a test hold `handed` to what is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sslfast.config import Recipe
from sslfast.encoders import build_encoder
from sslfast.methods import METHODS, Method
from sslfast.train.guard import RUNNING_STATISTICS

FP32, INT64 = 4, 8  # bytes of a value
# Bytes that a rank sends on a ring of n ranks for each byte that it hands over, by the kind of collective; those
# of a broadcast are the mean over the ranks, of which the last one sends nothing.
RING: dict[str, Callable[[int], float]] = {
    "gradients": lambda n: 2 * (n - 1) / n,
    "all_reduce": lambda n: 2 * (n - 1) / n,
    "all_gather": lambda n: n - 1,
    "reduce_scatter": lambda n: (n - 1) / n,
    "all_to_all": lambda n: (n - 1) / n,
    "broadcast": lambda n: (n - 1) / n,
    "buffers": lambda n: (n - 1) / n,
}
Handed = Counter[str]  # bytes that a rank hands over in a step, by the kind of collective


@dataclass(frozen=True)
class Step:
    """A rank's part of a training step.

    Attributes:
        recipe: what is trained.
        images: a rank's images of a batch (B).
        ranks: the number of ranks (n).
        width: bytes of a value in views and in what the networks give: 4, or 2 in bf16.
    """

    recipe: Recipe
    images: int
    ranks: int
    width: int = FP32


def moco(step: Step) -> Handed:
    """Counts images and keys that ShuffleBN gathers, in rank 0's order, and keys that the queue takes."""
    config, size = step.recipe.method, step.recipe.data.size
    directions = 2 if config.symmetric else 1
    pixels, keys = step.images * 3 * size**2 * step.width, step.images * config.dim * FP32
    order = step.ranks * step.images * INT64
    return Handed(broadcast=directions * order, all_gather=directions * (pixels + 2 * keys))


def simclr(step: Step) -> Handed:
    """Counts the embeddings of all ranks, which NT-Xent takes, and the gradients to them, which go back."""
    return _gathered(step, FP32)


def vicreg(step: Step) -> Handed:
    """Counts the embeddings of all ranks, as the networks give them, of which the covariances are."""
    return _gathered(step, step.width)


def _gathered(step: Step, width: int) -> Handed:
    rows = 2 * step.images * step.recipe.method.dim * width  # of two views
    return Handed(all_gather=rows, reduce_scatter=step.ranks * rows)


def byol(step: Step) -> Handed:
    """Counts nothing: an image's loss depends on no other image."""
    return Handed()


def swav(step: Step) -> Handed:
    """Counts Sinkhorn-Knopp's sums of columns, with a maximum the first time, and the queue's embeddings."""
    config = step.recipe.method
    columns = (config.iterations + 1) * config.prototypes * FP32
    rows = step.images * config.dim * FP32
    return Handed(all_reduce=config.global_crops * columns, all_gather=config.global_crops * rows)


def barlow_twins(step: Step) -> Handed:
    """Counts the sums of both views' means and variances, of the matrix and of their gradients; and the count."""
    dim = step.recipe.method.dim
    return Handed(all_reduce=2 * (4 * dim + dim**2) * FP32 + INT64)


def dino(step: Step) -> Handed:
    """Counts the bytes of the mean of all ranks' scores, which the center follows."""
    return Handed(all_reduce=step.recipe.method.prototypes * FP32)


OF_METHOD: dict[str, Callable[[Step], Handed]] = {
    "moco_v2": moco,
    "simclr": simclr,
    "byol": byol,
    "swav": swav,
    "barlow_twins": barlow_twins,
    "vicreg": vicreg,
    "dino": dino,
}


def handed(step: Step, method: Method, *, plain: bool = False) -> Handed:
    """Counts the bytes that a rank hands over in a step, of batch normalization over its own images.

    DistributedDataParallel's own 4 bytes for each parameter tensor, by which ours tells the ranks what rests, are
    not among them.

    Args:
        step: the step.
        method: the method of its recipe, on any device.
        plain: in plain DistributedDataParallel, which sends rank 0's buffers; ours has the mean of the running
            statistics and the loss.
    """
    buffers = dict(method.named_buffers())
    statistics = [buffer for name, buffer in buffers.items() if name.endswith(RUNNING_STATISTICS)]
    own = Handed(buffers=_bytes(buffers.values())) if plain else Handed(all_reduce=_bytes(statistics) + FP32)
    return OF_METHOD[step.recipe.method.name](step) + Handed(gradients=_bytes(trained(method))) + own


def sync_norm(network: nn.Module, ranks: int, device: str) -> Handed:
    """Counts the bytes that `encoder.norm=sync` adds to a network's forward pass and, where it learns, backward.

    Args:
        network: whose batch normalizations are over all ranks.
        ranks: how many they are.
        device: cuda: PyTorch's layers; cpu: ours.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    rows = sum(2 * norm.num_features for norm in norms) * FP32  # means and variances
    if device == "cuda":
        return Handed(all_gather=rows + len(norms) * FP32, all_reduce=rows)  # and each layer's count
    return Handed(all_gather=rows, reduce_scatter=ranks * rows)


def sent(handed: Handed, ranks: int) -> float:
    """Counts the bytes that a rank sends on a ring for what it hands over."""
    return sum(count * RING[kind](ranks) for kind, count in handed.items())


def loss_products(step: Step) -> float:
    """Counts the floating-point operations of a rank's loss in matrix products, forward; 0: there are none."""
    config, rows = step.recipe.method, step.ranks * step.images
    match config.name:
        case "moco_v2":
            queries = step.images * (2 if config.symmetric else 1)
            return 2.0 * queries * config.queue_size * config.dim
        case "simclr":  # of all rows with one another, on every rank
            return 2.0 * (2 * rows) ** 2 * config.dim
        case "barlow_twins":
            return 2.0 * step.images * config.dim**2
        case "vicreg":  # both views' covariances over all rows, on every rank
            return 2 * 2.0 * rows * config.dim**2
        case _:
            return 0.0


def held(method: Method, optimizer: str) -> dict[str, int]:
    """Counts the bytes that a rank holds from step to step: the same on every rank, however many there are.

    Args:
        method: the method, on any device.
        optimizer: sgd, lars or adamw.
    """
    learned = _bytes(trained(method))
    return {
        "weights": learned,
        "gradients": learned,
        # AdamW has two moments of each parameter, and a count of each tensor.
        "optimizer": 2 * learned + FP32 * len(trained(method)) if optimizer == "adamw" else learned,
        "not trained": _bytes(p for p in method.parameters() if not p.requires_grad),  # moving averages
        "buffers": _bytes(method.buffers()),
    }


def trained(method: Method) -> list[nn.Parameter]:
    """Lists the parameters of a method that receive gradients."""
    return [parameter for parameter in method.parameters() if parameter.requires_grad]


def on_meta(recipe: Recipe, num_images: int) -> Method:
    """Builds the method of a recipe without its values: for counts of bytes."""
    with torch.device("meta"):
        method: Method = METHODS[recipe.method.name](recipe, build_encoder(recipe.encoder), num_images)
    return method


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
