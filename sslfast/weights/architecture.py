"""The ResNet that tensors belong to, told by their names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from sslfast.config import EncoderConfig
from sslfast.encoders.resnet import RESNETS, STEM_CHANNELS

BLOCK = re.compile(r"layer([1-4])\.(\d+)\.")
# The children of torchvision's ResNet by their places in a Sequential, as lightly's examples wrap them.
PLACES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
BOTTLENECK = "layer1.0.conv3.weight"  # a third convolution, which other blocks lack


def named_parts(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives the tensors torchvision's names for the parts of a ResNet that a Sequential has numbered.

    A number is taken for a part's only where the whole ResNet is there: its first convolution and its stages.
    """
    heads = {name.removesuffix("4.0.conv1.weight") for name in tensors if name.endswith("4.0.conv1.weight")}
    wrapped = [head for head in heads if not head or head.endswith(".") if f"{head}0.weight" in tensors]

    def renamed(name: str) -> str:
        for head in wrapped:
            place, dot, rest = name.removeprefix(head).partition(".")
            if name.startswith(head) and dot and place in PLACES:
                return f"{head}{PLACES[place]}.{rest}"
        return name

    return {renamed(name): tensor for name, tensor in tensors.items()} if wrapped else dict(tensors)


def resnet_prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Finds what the names of each whole ResNet among the tensors begin with, in their order."""
    ends = "layer1.0.conv1.weight"
    heads = [name.removesuffix(ends) for name in tensors if name.endswith(ends)]
    return [head for head in heads if (not head or head.endswith(".")) and f"{head}conv1.weight" in tensors]


def resnet_config(tensors: Mapping[str, Tensor]) -> EncoderConfig | None:
    """Finds the `encoder` section of the ResNet whose tensors these are; None: it is none of ours.

    The blocks of each stage give its depth, the first convolution its stem and width.
    """
    blocks = [0] * 4
    for name in tensors:
        if found := BLOCK.match(name):
            stage, block = int(found[1]) - 1, int(found[2])
            blocks[stage] = max(blocks[stage], block + 1)
    for name, (block_type, layers) in RESNETS.items():
        bottleneck = block_type.expansion == 4  # type: ignore[attr-defined]
        if layers == blocks and bottleneck == (BOTTLENECK in tensors):
            first = tensors["conv1.weight"]
            return EncoderConfig(
                name=name,
                stem="cifar" if first.shape[-1] == 3 else "imagenet",
                width=first.shape[0] / STEM_CHANNELS,
            )
    return None
