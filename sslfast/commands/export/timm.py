"""The format of timm's models: a safetensors file of their state dict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sslfast.commands.export.metadata import check_plain_resnet, metadata
from sslfast.encoders import TIMM, TimmEncoder
from sslfast.encoders.vit import HEADS, ViT, check_tiling, position_embedding
from sslfast.run.backbone import write_safetensors
from sslfast.weights import NamedEncoder

# From our ViT's names, torchvision's, to timm's.
RENAMED = (
    (r"^class_token$", "cls_token"),
    (r"^conv_proj", "patch_embed.proj"),
    (r"^ln\.", "norm."),
    (r"^layers\.", "blocks."),
    (r"\.ln_(\d)\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
)


class TimmModel(NamedTuple):
    """An encoder as timm has it: `timm.create_model(name, num_classes=0, **options)`, and its state dict."""

    name: str
    options: dict[str, Any]
    weights: dict[str, Tensor]

    def call(self) -> str:
        """Writes the line of Python that makes the model."""
        options = "".join(f", {key}={value!r}" for key, value in self.options.items())
        return f"timm.create_model({self.name!r}, num_classes=0{options})"


def write_timm(found: NamedEncoder, out: Path) -> None:
    """Writes an encoder so that timm's model loads it, strictly:

        model = timm.create_model("resnet18", num_classes=0)
        model.load_state_dict(safetensors.torch.load_file(out))

    The metadata's `architecture` is the call that makes the model.

    Raises:
        UsageError: timm has no such architecture.
    """
    model = as_timm(found)
    write_safetensors(out, model.weights, metadata(found, model.call()))


def as_timm(found: NamedEncoder) -> TimmModel:
    """Returns an encoder as timm has it.

    Of a ViT, whose positions are computed, the weights hold the positions for images of its `side`. MoCo v3's
    small one has 12 heads, where timm's has 6.

    Raises:
        UsageError: timm has no such architecture.
    """
    encoder, config = found.encoder, found.config
    options = {} if found.data.channels == 3 else {"in_chans": found.data.channels}
    if isinstance(encoder, TimmEncoder):
        return TimmModel(config.name.removeprefix(TIMM), options, encoder.model.state_dict())
    if isinstance(encoder, ViT) and config.width == 1:
        side, name = found.data.size, f"{config.name}_patch16_224"
        return TimmModel(name, {**_vit_options(encoder, side), **options}, _vit(encoder, side))
    check_plain_resnet(found, "timm")
    return TimmModel(config.name, options, encoder.state_dict())


def _vit_options(encoder: ViT, side: int) -> dict[str, Any]:
    wanted = {"num_heads": HEADS, "patch_size": encoder.patch_size, "img_size": side}
    default = {"num_heads": encoder.feature_dim // 64, "patch_size": 16, "img_size": 224}
    pool = {} if encoder.pool == "class" else {"global_pool": "avg", "fc_norm": False}  # which would come after it
    return {key: value for key, value in wanted.items() if value != default[key]} | pool


def _vit(encoder: ViT, side: int) -> dict[str, Tensor]:
    check_tiling(side, encoder.patch_size)
    patches = side // encoder.patch_size
    positions = position_embedding(patches, patches, encoder.feature_dim)
    none = torch.zeros(1, encoder.feature_dim)  # of the class token
    weights = {"pos_embed": torch.cat([none, positions])[None]}
    for name, value in encoder.state_dict().items():
        for pattern, place in RENAMED:
            name = re.sub(pattern, place, name)
        weights[name] = value
    return weights
