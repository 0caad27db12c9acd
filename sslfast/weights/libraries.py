"""Encoders with the weights that torchvision and timm publish, from their caches or downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.error import URLError

import torchvision

from sslfast.config import EncoderConfig
from sslfast.encoders import RESNETS, TIMM, Encoder, TimmEncoder, build_encoder
from sslfast.errors import UsageError
from sslfast.hints import choices, nearest
from sslfast.weights.fitting import fit

TORCHVISION = "torchvision/"  # the beginning of the names
TAG = "@"  # between a model's name and its weights'


@dataclass(frozen=True)
class Published:
    """An encoder with published weights, and the images it takes: their side in pixels, and normalization."""

    encoder: Encoder
    config: EncoderConfig
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def torchvision_encoder(name: str) -> Published:
    """Loads a ResNet of torchvision: `torchvision/resnet50` with its best weights, `...@IMAGENET1K_V1` with those.

    Raises:
        UsageError: there is no such model or weights, or they can be neither found nor downloaded.
    """
    model, _, tag = name.removeprefix(TORCHVISION).partition(TAG)
    if model not in RESNETS:
        raise UsageError(
            f"{name}: expected the name of a ResNet after {TORCHVISION}, got {model!r}{nearest(model, RESNETS)}"
        )
    choices = torchvision.models.get_model_weights(model)
    known = [weights.name for weights in choices]
    if tag and tag not in known:
        raise UsageError(f"{name}: torchvision's {model} has the weights {', '.join(known)}, got {tag!r}")
    weights = choices[tag or "DEFAULT"]
    try:
        tensors = weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:  # no network; a file that is not what it should be
        raise UsageError(f"{name}: cannot be downloaded ({_reason(error)}); give a file of its weights") from error
    config = EncoderConfig(name=model)
    encoder = build_encoder(config)
    fit(tensors, encoder, name)
    images = weights.transforms()
    return Published(encoder, config, images.crop_size[0], tuple(images.mean), tuple(images.std))


def timm_encoder(name: str) -> Published:
    """Loads a model of timm: `timm/<model>` with its default weights, or `timm/<model>@<tag>` with those of a tag.

    Raises:
        UsageError: timm is not installed, has no such model or weights, or they can be neither found nor
            downloaded.
    """
    model, _, tag = name.removeprefix(TIMM).partition(TAG)
    config = EncoderConfig(name=TIMM + model)
    encoder = build_encoder(config)  # refuses what timm lacks
    assert isinstance(encoder, TimmEncoder)
    import timm

    tags = [entry.partition(".")[2] for entry in timm.list_pretrained(f"{model}.*")]
    if not tags or (tag and tag not in tags):
        hint = choices(tags, f"timm.list_pretrained('{model}.*')") if tags else ", which has none"
        raise UsageError(f"{name}: expected weights of timm's {model}{hint}")
    try:
        source = timm.create_model(f"{model}.{tag}" if tag else model, pretrained=True)
    except Exception as error:  # of whichever library downloads
        raise UsageError(f"{name}: cannot be downloaded ({_reason(error)}); give a file of its weights") from error
    fit(source.state_dict(), encoder.model, name)
    images = source.pretrained_cfg
    return Published(encoder, config, images["input_size"][-1], tuple(images["mean"]), tuple(images["std"]))


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "reason", None) or error).split())[:200]
