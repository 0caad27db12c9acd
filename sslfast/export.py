"""Encoders as safetensors files, for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from sslfast.atomic import atomic_write
from sslfast.checkpoint import load_encoder
from sslfast.config import to_dict
from sslfast.encoders import RESNETS, Encoder
from sslfast.errors import TrainingError, UsageError

IMAGENET_CLASSES = 1000  # of the classifier that torchvision's models come with


def write_backbone(encoder: Encoder, path: Path, config: dict[str, Any]) -> None:
    """Writes an encoder's weights: the whole file or, killed at any moment, nothing.

    `sslfast.encoders.build_encoder` with the `encoder` section of the metadata's `config`, JSON, makes the
    encoder whose `load_state_dict` takes them.

    Args:
        encoder: on any device.
        path: the file; one that exists is replaced.
        config: the run's configuration, `config.to_dict`.

    Raises:
        TrainingError: the file cannot be written.
    """
    try:
        _write(path, encoder.state_dict(), {"config": json.dumps(config)})
    except OSError as error:
        raise TrainingError(f"{path}: cannot write the backbone: {error.strerror}") from error


def export_torchvision(checkpoint: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Writes a checkpoint's encoder so that torchvision's model of its name loads it, strictly:

        model = torchvision.models.resnet18()
        model.load_state_dict(safetensors.torch.load_file(out))

    torchvision's model has a classifier, which pre-training does not train: `fc.weight` (1000, feature_dim) and
    `fc.bias` (1000,) are zeros, to be replaced or trained. The file's metadata says so, and holds the mean and the
    standard deviation that images are to be normalised by, and the configuration of the run, as JSON.

    Args:
        checkpoint: a checkpoint's file or a run's directory.
        out: the file to write.
        overwrite: replace a file that exists.

    Returns:
        `out`.

    Raises:
        UsageError: torchvision has no such architecture, the checkpoint is bad, or `out` exists or cannot be
            written.
    """
    if out.exists() and not overwrite:
        raise UsageError(f"--out {out}: exists; choose another file, or replace it with --overwrite")
    encoder, config = load_encoder(checkpoint)
    name, stem, width, colors = (getattr(config.encoder, key) for key in ("name", "stem", "width", "colors"))
    if name not in RESNETS or (stem, width, colors) != ("imagenet", 1, "rgb"):
        raise UsageError(
            f"{checkpoint}: this format is of ResNets with stem=imagenet, width=1 and colors=rgb, and torchvision "
            f"has no {name} with stem={stem}, width={width:g} and colors={colors}; load the run's "
            "backbone.safetensors into sslfast.encoders.build_encoder(config.encoder) instead"
        )
    classifier = {
        "fc.weight": torch.zeros(IMAGENET_CLASSES, encoder.feature_dim),
        "fc.bias": torch.zeros(IMAGENET_CLASSES),
    }
    metadata = {
        "architecture": f"torchvision.models.{name}",
        "classifier": "untrained: fc.weight and fc.bias are zeros",
        "mean": json.dumps(config.data.mean),
        "std": json.dumps(config.data.std),
        "config": json.dumps(to_dict(config)),
    }
    try:
        _write(out, {**encoder.state_dict(), **classifier}, metadata)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot write: {error.strerror}") from error
    return out


def _write(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    # safetensors takes dense tensors only, and weights may be channels_last.
    weights = {name: weight.contiguous().cpu() for name, weight in weights.items()}
    content = safetensors.torch.save(weights, {"format": "pt", **metadata})
    with atomic_write(path) as file:
        file.write(content)
