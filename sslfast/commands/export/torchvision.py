"""The format of torchvision's models: a safetensors file of their state dict."""

from __future__ import annotations

from pathlib import Path

import torch

from sslfast.commands.export.metadata import check_plain_resnet, metadata
from sslfast.run.backbone import write_safetensors
from sslfast.weights import NamedEncoder

IMAGENET_CLASSES = 1000  # outputs of the classifier that torchvision's models come with


def write_torchvision(found: NamedEncoder, out: Path) -> None:
    """Writes an encoder so that torchvision's model of its name loads it, strictly:

        model = torchvision.models.resnet18()
        model.load_state_dict(safetensors.torch.load_file(out))

    torchvision's model has a classifier, which pre-training does not train: `fc.weight` (1000, feature_dim) and
    `fc.bias` (1000,) are zeros, to be replaced or trained. The file's metadata says so. It has a first convolution
    of RGB: for an encoder of C other channels put one of its shape into its place before.

        model.conv1 = torch.nn.Conv2d(C, 64, kernel_size=7, stride=2, padding=3, bias=False)

    Raises:
        UsageError: torchvision has no such architecture.
    """
    check_plain_resnet(found, "torchvision")
    classifier = {
        "fc.weight": torch.zeros(IMAGENET_CLASSES, found.encoder.feature_dim),
        "fc.bias": torch.zeros(IMAGENET_CLASSES),
    }
    told = metadata(found, f"torchvision.models.{found.config.name}")
    if found.data.channels != 3:
        told["conv1"] = (
            f"of {found.data.channels} channels, where torchvision's is of 3: replace it before loading"
        )
    told["classifier"] = "untrained: fc.weight and fc.bias are zeros"
    write_safetensors(out, {**found.encoder.state_dict(), **classifier}, told)
