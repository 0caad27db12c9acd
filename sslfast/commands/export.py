"""`sslfast export`: an encoder as a safetensors file for other software."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from sslfast.config.paths import user_path
from sslfast.encoders import RESNETS
from sslfast.errors import UsageError
from sslfast.recipes.load import to_dict
from sslfast.run.backbone import write_safetensors
from sslfast.weights import find_encoder

IMAGENET_CLASSES = 1000  # outputs of the classifier that torchvision's models come with


def export_torchvision(encoder: str | Path, out: str | Path, *, overwrite: bool = False) -> Path:
    """Writes an encoder so that torchvision's model of its name loads it, strictly:

        model = torchvision.models.resnet18()
        model.load_state_dict(safetensors.torch.load_file(out))

    torchvision's model has a classifier, which pre-training does not train: `fc.weight` (1000, feature_dim) and
    `fc.bias` (1000,) are zeros, to be replaced or trained. The file's metadata says so, and holds the mean and the
    standard deviation that images are to be normalised by, and the run's recipe where there is one, as JSON.

    Args:
        encoder: which one, as `sslfast.load_encoder` takes it.
        out: the .safetensors file to write.
        overwrite: replace a file that exists.

    Returns:
        `out`.

    Raises:
        UsageError: torchvision has no such architecture, there is no such encoder, or `out` exists, cannot be
            written or has another suffix.
    """
    out = user_path(out)
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: expected the name of a .safetensors file, which is what it writes")
    if out.exists() and not overwrite:
        raise UsageError(f"--out {out}: exists; choose another file, or replace it with --overwrite")
    found = find_encoder(encoder)
    name, stem, width, colors = (getattr(found.config, key) for key in ("name", "stem", "width", "colors"))
    if name not in RESNETS or (stem, width, colors) != ("imagenet", 1, "rgb"):
        raise UsageError(
            f"{encoder}: this format is of ResNets with stem=imagenet, width=1 and colors=rgb, and torchvision "
            f"has no {name} with stem={stem}, width={width:g} and colors={colors}; load it by "
            "sslfast.load_encoder instead"
        )
    classifier = {
        "fc.weight": torch.zeros(IMAGENET_CLASSES, found.encoder.feature_dim),
        "fc.bias": torch.zeros(IMAGENET_CLASSES),
    }
    metadata = {
        "architecture": f"torchvision.models.{name}",
        "classifier": "untrained: fc.weight and fc.bias are zeros",
        "mean": json.dumps(found.data.mean),
        "std": json.dumps(found.data.std),
    }
    if found.recipe is not None:
        metadata["config"] = json.dumps(to_dict(found.recipe))
    try:
        write_safetensors(out, {**found.encoder.state_dict(), **classifier}, metadata)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot write: {error.strerror}") from error
    return out
