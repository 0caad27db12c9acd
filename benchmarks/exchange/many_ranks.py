"""The table of steps on many GPUs, which `formulas` compute from the recipes for ImageNet; none is measured."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from sslfast.benchmarks.exchange.formulas import (
    OF_METHOD,
    Handed,
    Step,
    handed,
    held,
    loss_products,
    on_meta,
    sent,
    sync_norm,
    trained,
)
from sslfast.recipes.load import load_recipe

GPUS = (8, 64, 1024)
IMAGES, BF16 = 32, 2  # of a GPU; bytes of a value of views and of the networks' outputs
NUM_IMAGES = 1_281_167  # ImageNet's
SENT = [f"sent by one of {count:,}" for count in GPUS]
COLUMNS = ("method", "parameters", "gradients", *SENT, "gathered", "loss's products", "held")


@cache
def rows() -> list[list[str]]:
    """Computes the cells of each method, and of batch normalization over all ranks of the last one's encoder."""
    lines = []
    for name in OF_METHOD:
        recipe = load_recipe(f"{name}_imagenet")
        method = on_meta(recipe, NUM_IMAGES)
        steps = [Step(recipe, IMAGES, count, BF16) for count in GPUS]
        of_ranks = [handed(step, method) for step in steps]
        lines.append(
            [
                name,
                f"{sum(p.numel() for p in trained(method)) / 1e6:.0f} M",
                megabytes(of_ranks[-1]["gradients"]),
                *_sent(of_ranks),
                megabytes(GPUS[-1] * of_ranks[-1]["all_gather"]),
                f"{products / 1e12:.2g} TFLOP" if (products := loss_products(steps[-1])) else "",
                megabytes(sum(held(method, recipe.optim.name).values())),
            ]
        )
    norms = [sync_norm(method.encoder, count, "cuda") for count in GPUS]
    gathered = megabytes(GPUS[-1] * norms[-1]["all_gather"])
    return [*lines, ["a pass of ResNet-50, norm=sync", "", "", *_sent(norms), gathered, "", ""]]


def _sent(of_ranks: list[Handed]) -> Iterator[str]:
    return (megabytes(sent(each, count)) for each, count in zip(of_ranks, GPUS, strict=True))


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"
