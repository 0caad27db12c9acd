"""The format of detectron2's backbones: a checkpoint of torch.save that holds tensors and plain values only.

detectron2's own converter writes a .pkl, which a reader has to unpickle. Its checkpointer reads a .pth too, which
`torch.load(weights_only=True)` opens as well.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from sslfast.commands.export.metadata import check_plain_resnet, metadata
from sslfast.data.sources.form import check_rgb
from sslfast.run.atomic import atomic_write
from sslfast.weights import NamedEncoder

# From torchvision's names to detectron2's, whose stages are counted with the stem and whose norms are within
# the convolutions (detectron2's tools/convert-torchvision-to-d2.py).
RENAMED = (
    (r"^(?=conv1|bn1)", "stem."),
    (r"^layer(\d)", lambda stage: f"res{int(stage[1]) + 1}"),
    (r"\bbn(\d)", r"conv\1.norm"),
    (r"downsample\.0", "shortcut"),
    (r"downsample\.1", "shortcut.norm"),
)


def write_detectron2(found: NamedEncoder, out: Path) -> None:
    """Writes an encoder so that detectron2's ResNets start from it, as MODEL.WEIGHTS.

    The names are found by detectron2's heuristics, in a model with or without FPN. The encoder wants INPUT.FORMAT
    RGB, MODEL.PIXEL_MEAN and PIXEL_STD of 255 times `mean` and `std`, and MODEL.RESNETS.STRIDE_IN_1X1 False.

    Raises:
        UsageError: detectron2 has no such architecture, or it takes other images than RGB.
    """
    check_plain_resnet(found, "detectron2")
    check_rgb(found.data, f"{found.name}: --format detectron2", "take --format torchvision")
    weights = {
        renamed(name): value.contiguous()
        for name, value in found.encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")  # which its frozen norms lack
    }
    content = {"model": weights, "__author__": "sslfast", "matching_heuristics": True}
    content["about"] = metadata(found, f"detectron2 ResNet, MODEL.RESNETS.DEPTH {found.config.name[6:]}")
    with atomic_write(out) as file:
        torch.save(content, file)


def renamed(name: str) -> str:
    """Gives a tensor's name in detectron2, from its name in torchvision."""
    for pattern, place in RENAMED:
        name = re.sub(pattern, place, name)
    return name
