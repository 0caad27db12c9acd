"""The weights that a run starts from, where its recipe names some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sslfast.config import EncoderConfig, Recipe
from sslfast.encoders import RESNETS, VITS, ColorEncoder
from sslfast.errors import UsageError
from sslfast.weights.digest import weights_digest
from sslfast.weights.named import RANDOM, NamedEncoder, find_encoder

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class InitialWeights:
    """An encoder's weights to start a run from.

    Attributes:
        tensors: the encoder's state, by name, on the CPU.
        digest: `weights_digest` of the encoder as it was found.
        statistics: the mean and standard deviation that its images were normalized by; None: they are unknown.
    """

    tensors: dict[str, Tensor]
    digest: str
    statistics: Statistics | None


def initial_weights(recipe: Recipe) -> InitialWeights | None:
    """Loads the weights that `encoder.weights` of a recipe names; None: it names none.

    Only the encoder's are taken: heads start at random.

    Raises:
        UsageError: nothing has that name, it cannot be read, or it is of another architecture.
    """
    config, name = recipe.encoder, recipe.encoder.weights
    if name is None:
        return None
    # The tensors of a ResNet tell its architecture; those of another network in a file are to be the recipe's.
    found = find_encoder(name, architecture=None if config.name in RESNETS else config)
    if found.file is None and name == RANDOM:
        raise UsageError(f"encoder.weights={name}: leave it out, weights are random without it")
    check_architecture(found, config)
    if found.data.channels != recipe.data.channels:
        raise UsageError(
            f"encoder.weights={name}: are of data.channels={found.data.channels}, and the recipe has "
            f"data.channels={recipe.data.channels}; set the former, or give other weights"
        )
    tensors = found.encoder.state_dict()
    if isinstance(found.encoder, ColorEncoder):  # it undoes the normalization, which is this run's
        tensors |= {"mean": torch.tensor(recipe.data.mean), "std": torch.tensor(recipe.data.std)}
    told = found.recipe is not None or found.file is None  # a state dict does not tell them
    return InitialWeights(
        tensors, weights_digest(found.encoder), (found.data.mean, found.data.std) if told else None
    )


def check_architecture(found: NamedEncoder, config: EncoderConfig) -> None:
    """Refuses an encoder of another architecture than that of a recipe's `encoder` section.

    Raises:
        UsageError: names the settings that differ.
    """
    theirs, ours = architecture(found.config), architecture(config)
    different = [key for key in ours if key in theirs and theirs[key] != ours[key]]
    if different:
        has, expected = (
            " ".join(f"encoder.{key}={values[key]}" for key in different) for values in (theirs, ours)
        )
        raise UsageError(
            f"encoder.weights={found.name}: are of {has}, and the recipe has {expected}; set the former, or give "
            "other weights"
        )


def architecture(config: EncoderConfig) -> dict[str, Any]:
    """Returns the settings of an `encoder` section by which its network has its tensors and uses them."""
    keys = ["name", "colors"]
    if config.colors != "rgb":
        keys.append("color_parts")
    if config.name in RESNETS:
        keys += ["stem", "width"]
    if config.name in VITS:
        keys += ["width", "patch_size"]
    settings = {key: getattr(config, key) for key in keys}
    if config.name in RESNETS:  # all but layer have the same tensors
        settings["norm"] = "layer" if config.norm == "layer" else "batch"
    return settings
