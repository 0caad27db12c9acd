"""The settings of the runs that `make methods-check` sets side by side: small encoders, short training.

A run is a method's recipe for CIFAR-10 with what all share, `Scale`, and what the method needs to learn in few
steps, SHORT.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from sslfast.config import Recipe
from sslfast.recipes.load import load_recipe, with_precision


@dataclass(frozen=True)
class Scale:
    """The numbers of images and neighbors, and the width of the encoder, that all runs share.

    Attributes:
        num_images: the images to train on; None: all that are not held out.
        num_held_out: the images to test on.
        width: the width of the ResNet-18, which has a stem for small images.
        num_neighbors: the neighbors that vote in kNN.
    """

    num_images: int | None
    num_held_out: int
    width: float
    num_neighbors: int


CPU = Scale(num_images=5000, num_held_out=5000, width=0.125, num_neighbors=20)
GPU = Scale(num_images=None, num_held_out=5000, width=1.0, num_neighbors=200)


@dataclass(frozen=True)
class Short:
    """The changes of a method's recipe for a short run, and their reason.

    Attributes:
        settings: the changes.
        reason: the reason for them.
        longer: the factor by which a run is longer than others.
        note: the reason why so short a run on so few small images stays near its random initialization, with
            evidence.
    """

    settings: tuple[str, ...]
    reason: str
    longer: float = 1.0
    note: str = ""


MORE_STEPS = "data.batch_size=64"
FASTER_AVERAGE = "method.momentum=0.9"
# A few hundred steps: a slower average would still be the random network, smaller batches make more of them, and
# each is cheaper where the keys are encoded once and heads are as narrow as the backbone.
MOCO = (MORE_STEPS, FASTER_AVERAGE, "method.symmetric=false", "encoder.norm=batch", "optim.lr=0.06")
MOCO_V2 = (*MOCO, "method.head_norm=true")
# Residual branches that start at 0: without, some stay longer near the random network.
FROM_IDENTITY = "encoder.zero_init_residual=true"
PARTS = (MORE_STEPS, FASTER_AVERAGE, "method.dim=128", "method.hidden=256", "method.predictor_hidden=256")
# Rows that are their image's last embedding: averages would still point where they were drawn.
FORGETFUL_BANK = "method.momentum=0"
# For methods that hide patches: 16 of them an image, for more steps. It takes the rates of AdamW.
VIT = ("encoder.name=vit_small", "encoder.patch_size=8")
CPC = (
    *("data.batch_size=32", "method.context_width=64", "method.context_blocks=2", "optim.warmup_epochs=0.5"),
    *("method.patch=16", "method.stride=8", "method.last_step=2"),
)
CPC_REASON = "9 larger patches an image in place of 49: more steps, a narrow context network"
SHORT: dict[str, Short] = {
    "align_uniform": Short((MORE_STEPS, "method.hidden=256"), "more steps, a narrow head"),
    "barlow_twins": Short(
        (MORE_STEPS, "method.dim=256", "method.hidden=256", "optim.lr=0.06", FROM_IDENTITY),
        "more steps, narrow heads",
    ),
    "byol": Short(
        (
            *(MORE_STEPS, FASTER_AVERAGE, "method.dim=128", "method.hidden=256"),
            *("optim.lr=0.5", "optim.weight_decay=5e-4", FROM_IDENTITY),
        ),
        "more steps, a faster average, narrow heads, a higher rate",
    ),
    "cmc": Short((MORE_STEPS, "optim.lr=0.3", FROM_IDENTITY), "more steps, a higher rate"),
    "cpc_v1": Short((*CPC, "data.views=cpc_v2"), f"{CPC_REASON}; the images that it is tested on have colors"),
    "cpc_v2": Short(
        (*CPC, "method.first_step=1", "method.drop_colors=0", FROM_IDENTITY),
        f"{CPC_REASON}; of 3 rows the next is predicted as well, in color",
    ),
    "context_encoder": Short(
        (MORE_STEPS, FROM_IDENTITY, "method.decoder_dim=16", "optim.lr=0.016"),
        "more steps, a small decoder, a higher rate",
    ),
    "context_prediction": Short(
        (MORE_STEPS, "encoder.norm=layer", "optim.lr=0.05", FROM_IDENTITY, "method.patch=10", "method.gap=0"),
        "more steps, a lower rate; larger patches without a gap, whose batch statistics are not those of images",
    ),
    "deepcluster": Short(
        (MORE_STEPS, "method.reassign_every=3", "optim.lr=0.3", FROM_IDENTITY),
        "more steps, also for each classifier, and a higher rate",
    ),
    "deepcluster_v2": Short(
        (MORE_STEPS, "method.hidden=256", "method.clusters=[100,100,100]", "optim.lr=0.6"),
        "more steps, clusters for 5,000 images, and a rate that leaves the plateau of equal scores",
    ),
    "densecl": Short(MOCO_V2, "more steps, a faster average, a head with batch normalization"),
    "dino": Short(
        (
            *(MORE_STEPS, "method.dim=128", "method.hidden=256", "method.prototypes=256"),
            *("optim.lr=0.5", FROM_IDENTITY),
        ),
        "more steps, narrow heads, prototypes for 5,000 images, a higher rate",
    ),
    "exemplar": Short(
        (MORE_STEPS, "method.form=triplet", "method.members=2", "method.sampled=null", "method.dim=128"),
        "a class of each of 5,000 images is met once an epoch: triplets need no classes",
    ),
    "fast_moco": Short((*PARTS, "method.temperature=0.2"), "more steps, a faster average, narrow heads"),
    "ibot": Short(
        (
            *("data.batch_size=32", *VIT, "encoder.width=0.125", "method.momentum=0.97", "method.dim=64"),
            *("method.hidden=256", "method.prototypes=256", "method.frozen_epochs=0", "optim.lr=3e-3"),
        ),
        "a ViT of 48 channels, more steps, a faster average, narrow heads, fewer prototypes, a higher rate; twice "
        "the time, as a ViT learns more slowly",
        longer=2.0,
    ),
    "instdisc": Short(
        (MORE_STEPS, FORGETFUL_BANK, "optim.lr=0.12"), "more steps, a higher rate, a bank without memory"
    ),
    "jigsaw": Short(
        (MORE_STEPS, "method.classes=10", "encoder.norm=layer", FROM_IDENTITY),
        "more steps, fewer permutations; batch statistics of patches are not those of images",
        note="patches of 8 pixels teach what a linear probe finds, and cosine neighbors do not. On photographs "
        "at 128 pixels both do, see photographs.txt among the results: kNN from 27.3% to 32.4%, the probe from "
        "33.1% to 38.7%",
    ),
    "jigsaw_clustering": Short((MORE_STEPS, "method.hidden=256"), "more steps, a narrow head"),
    "lewel_b": Short(
        (
            *(MORE_STEPS, FASTER_AVERAGE, "method.dim=64", "method.aligned_dim=64", "method.hidden=256"),
            *("method.target_norm=own", "optim.lr=0.5", FROM_IDENTITY),
        ),
        "more steps, faster averages, fewer maps, narrow heads, a higher rate",
    ),
    "lewel_m": Short(MOCO_V2, "more steps, a faster average, a head with batch normalization"),
    "local_aggregation": Short(
        (
            *(MORE_STEPS, FORGETFUL_BANK, "optim.lr=0.06", "method.warmup_epochs=3"),
            *("method.clusters=100", "method.background=512"),
        ),
        "more steps, a higher rate, a bank without memory, a shorter warm-up, clusters for 5,000 images",
    ),
    "mae": Short(
        (
            *(MORE_STEPS, *VIT, "encoder.width=0.25", "method.decoder_dim=48", "method.decoder_depth=1"),
            "optim.lr=4e-3",
        ),
        "a ViT of 96 channels, more steps, a small decoder, a higher rate",
    ),
    "mncl": Short(
        (*PARTS, "method.temperature=0.2", "method.queue_size=1024"),
        "more steps, a faster average, narrow heads, a queue for 5,000 images",
    ),
    "moco_v1": Short(MOCO, "more steps, a faster average"),
    "moco_v2": Short(MOCO_V2, "more steps, a faster average, a head with batch normalization"),
    "moco_v3": Short(
        (
            *(MORE_STEPS, FASTER_AVERAGE, "method.dim=128", "method.hidden=256"),
            *("optim.lr=0.3", "optim.weight_decay=5e-4", FROM_IDENTITY),
        ),
        "more steps, a faster average, narrow heads, a higher rate",
    ),
    "msf": Short(
        (
            *(MORE_STEPS, FASTER_AVERAGE, "method.hidden=256", "method.queue_size=1024"),
            *("optim.lr=0.5", FROM_IDENTITY),
        ),
        "more steps, a faster average, narrow heads, a queue for 5,000 images, a higher rate",
    ),
    "nnclr": Short(
        (
            MORE_STEPS,
            "method.dim=128",
            "method.hidden=256",
            "method.predictor_hidden=256",
            "method.queue_size=1024",
        ),
        "more steps, narrow heads, a queue for 5,000 images",
    ),
    "pcl": Short(
        (*MOCO_V2, "method.warmup_epochs=2", "method.clusters=[50,100,200]"),
        "more steps, a faster average, a head with batch normalization, clusters for 5,000 images",
    ),
    "pirl": Short(
        (MORE_STEPS, FORGETFUL_BANK, "optim.lr=0.3", FROM_IDENTITY),
        "more steps, a higher rate, a bank without memory",
    ),
    "pixpro": Short(
        (
            *(MORE_STEPS, FASTER_AVERAGE, "method.dim=128", "method.hidden=256", "method.transform_layers=2"),
            *("optim.lr=0.5", FROM_IDENTITY),
        ),
        "more steps, a faster average, a narrow head, a higher rate; two layers of g, as with one it collapses; "
        "twice the time, as its loss compares maps",
        longer=2.0,
    ),
    "resim": Short(MOCO_V2, "more steps, a faster average, a head with batch normalization"),
    "simsiam": Short(
        (
            *(MORE_STEPS, "method.dim=256", "method.hidden=256", "method.predictor_hidden=64"),
            *("optim.lr=0.5", FROM_IDENTITY),
        ),
        "more steps, narrow heads, a higher rate",
    ),
    "swav": Short(
        (
            *(MORE_STEPS, "method.hidden=256", "method.prototypes=100", "method.queue_size=0"),
            *("optim.lr=1.2", FROM_IDENTITY),
        ),
        "more steps, prototypes for 5,000 images, and a rate that leaves the plateau of equal scores",
    ),
    "vicreg": Short(
        (MORE_STEPS, "method.dim=256", "method.hidden=256", "optim.name=sgd", "optim.lr=0.06", FROM_IDENTITY),
        "more steps, narrow heads, an optimizer for small batches",
    ),
}


def settings(method: str, scale: Scale, *, whole: bool = False) -> list[str]:
    """Lists the changes of a method's recipe in its runs, beside their length and seed.

    Args:
        whole: whether they are no short runs.
    """
    shared = [
        "encoder.name=resnet18",
        "encoder.stem=cifar",
        f"encoder.width={scale.width:g}",
        "data.val_fraction=0",  # of the images to train on, which the others are apart from already
        "train.knn_every=0",
    ]
    return [*shared, *(SHORT[method].settings if method in SHORT and not whole else ())]


def longer(method: str) -> float:
    """Returns the factor by which a method's short run is longer than others, see `Short`."""
    return SHORT[method].longer if method in SHORT else 1.0


def note(method: str, scale: Scale) -> str:
    """Gives the reason why a method need not learn at this scale, or an empty string; see `Short`."""
    return SHORT[method].note if method in SHORT and scale.num_images is not None else ""


def recipe(method: str, data: str, scale: Scale, epochs: int, *, seed: int, whole: bool = False) -> Recipe:
    """Makes the recipe of a run, see `settings`; a whole one is by the protocol of MNCL's table 1.

    The warm-up is the recipe's share of the training.

    Raises:
        UsageError: the method has no recipe for CIFAR-10, or the settings do not suit it.
    """
    name = f"{method}_mncl_cifar10" if whole else f"{method}_cifar10"
    changed = settings(method, scale, whole=whole)
    long = load_recipe(name, changed)
    warmup = long.optim.warmup_epochs * epochs / long.train.epochs
    run = [
        f"data.source={json.dumps(data)}",
        f"optim.warmup_epochs={warmup}",
        f"train.epochs={epochs}",
        f"train.seed={seed}",
    ]
    return with_precision(load_recipe(name, [*changed, *run]))


def scale_of(device: torch.device) -> Scale:
    return GPU if device.type == "cuda" else CPU
