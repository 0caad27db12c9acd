"""What an exported file says of its encoder, beside the weights."""

from __future__ import annotations

import json

from sslfast.encoders import RESNETS
from sslfast.errors import UsageError
from sslfast.recipes.load import to_dict
from sslfast.weights import NamedEncoder


def metadata(found: NamedEncoder, architecture: str) -> dict[str, str]:
    """Returns the architecture, the images' normalization and form, and the run's recipe if any, as JSON."""
    told = {
        "architecture": architecture,
        "mean": json.dumps(found.data.mean),
        "std": json.dumps(found.data.std),
        "size": json.dumps(found.data.size),
        "channels": json.dumps(found.data.channels),
        "depth": json.dumps(found.data.depth),
    }
    return told if found.recipe is None else {**told, "recipe": json.dumps(to_dict(found.recipe))}


def check_plain_resnet(found: NamedEncoder, library: str) -> None:
    """Raises UsageError for an encoder that is no ResNet as libraries have it."""
    name, stem, width, colors = (getattr(found.config, key) for key in ("name", "stem", "width", "colors"))
    if name not in RESNETS or (stem, width, colors) != ("imagenet", 1, "rgb"):
        raise UsageError(
            f"{found.name}: this format is of ResNets with stem=imagenet, width=1 and colors=rgb, and {library} "
            f"has no {name} with stem={stem}, width={width:g} and colors={colors}; load it by "
            "sslfast.load_encoder instead"
        )
