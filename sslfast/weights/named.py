"""From the name of an encoder to the encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import nn

from sslfast.config import DataConfig, EncoderConfig, Recipe
from sslfast.config.paths import existing_path, user_path
from sslfast.encoders import IMAGENET_MEAN, IMAGENET_STD, TIMM, Encoder, ModuleEncoder, TimmEncoder, build_encoder
from sslfast.errors import UsageError
from sslfast.given import is_given
from sslfast.recipes.load import from_stored
from sslfast.run.backbone import ENCODER, random_encoder
from sslfast.run.checkpoint import is_checkpoint
from sslfast.run.fits import check_bounds, check_finite
from sslfast.weights.architecture import named_parts, resnet_config, resnet_prefixes
from sslfast.weights.files import read_weights
from sslfast.weights.fitting import choose_prefix, fit
from sslfast.weights.libraries import TORCHVISION, Published, timm_encoder, torchvision_encoder
from sslfast.weights.method import load_state, momentum_encoder

RANDOM = "random"
MOMENTUM = "@momentum"  # the end of a name: the moving average of the encoder
SIDE = 224  # of the images of weights that do not tell: the field's for ImageNet
SEED = 0  # of random weights


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder, and what is known of it.

    Attributes:
        name: as it was asked for.
        encoder: on the device, in evaluation mode.
        config: the `encoder` section that builds its architecture.
        data: `size`, `channels`, `depth`, `mean` and `std` of its input.
        recipe: of the run that trained it; None: another software did.
        step: number of training steps; None: unknown.
        file: the file or the run's directory it came from; None: a library, or random.
    """

    name: str
    encoder: Encoder
    config: EncoderConfig
    data: DataConfig
    recipe: Recipe | None = None
    step: int | None = None
    file: Path | None = None

    def untrained(self, number: int = 0) -> Encoder:
        """Makes the same architecture with initial weights: of a run by its seed, else 0, plus `number`."""
        seed = SEED if self.recipe is None else self.recipe.train.seed
        return random_encoder(self.config, self.data, seed + number).eval()


def load_encoder(
    name: str | Path,
    device: str | torch.device = "cpu",
    *,
    architecture: str | None = None,
    partial: bool = False,
) -> Encoder:
    """Loads an encoder in evaluation mode, with the attributes that `sslfast.load_encoder` describes.

    Raises:
        UsageError: nothing has that name, it cannot be read, or its weights do not fit.
    """
    found = find_encoder(name, device, architecture=architecture, partial=partial)
    encoder = found.encoder
    encoder.side, encoder.channels = found.data.size, found.data.channels
    for key in ("mean", "std"):
        if key not in dict(encoder.named_buffers()):  # a ColorEncoder has them
            value = torch.tensor(getattr(found.data, key), device=device)
            encoder.register_buffer(key, value, persistent=False)
    return encoder


def find_encoder(
    name: str | Path,
    device: str | torch.device = "cpu",
    *,
    architecture: str | EncoderConfig | None = None,
    partial: bool = False,
) -> NamedEncoder:
    """Finds the encoder that `load_encoder` loads, with what is known of it. An existing path wins.

    The architecture may be a recipe's whole `encoder` section, too; what has one of its own passes over it.

    Raises:
        UsageError: as `load_encoder`.
    """
    found = _find(str(name), architecture, partial)
    found.encoder.eval().to(device)
    return found


def _find(name: str, architecture: str | EncoderConfig | None, partial: bool) -> NamedEncoder:
    libraries: dict[str, Callable[[str], Published]] = {TORCHVISION: torchvision_encoder, TIMM: timm_encoder}
    path = user_path(name)
    if not path.exists():
        if name == RANDOM:
            check_unasked(name, None, partial)
            return _random(name, architecture)
        for prefix, load_published in libraries.items():
            if name.startswith(prefix):
                check_unasked(name, architecture, partial)
                return _published(name, load_published(name))
        if name.endswith(MOMENTUM):
            check_unasked(name, architecture, partial)
            return _momentum(name)
        path = _existing(name)
    if path.is_dir() or is_checkpoint(path):
        check_unasked(name, architecture, partial)
        state = load_state(path)
        return _of_run(name, path, state["config"], state["method"], ENCODER, state.get("step"))
    file = read_weights(path)
    if file.config is not None:
        check_unasked(name, architecture, partial)
        return _of_run(name, path, file.config, file.tensors, "", None)
    return _of_other_software(name, path, named_parts(file.tensors), architecture, partial)


def _momentum(name: str) -> NamedEncoder:
    """Loads the encoder that follows that of a run as a moving average."""
    path = _existing(name.removesuffix(MOMENTUM))
    if not (path.is_dir() or is_checkpoint(path)):
        raise UsageError(f"{name}: {path} has one encoder alone; give a run's directory or a checkpoint")
    state = load_state(path)
    weights = momentum_encoder(state, path).state_dict()
    return _of_run(name, path, state["config"], weights, "", state.get("step"))


def _existing(name: str) -> Path:
    """Returns the path of a name that no library's begins with. Raises UsageError if there is none."""
    try:
        return existing_path(name)
    except UsageError as error:
        raise UsageError(
            f"{error}; expected a run's directory, a file of weights, {TORCHVISION}<model>, {TIMM}<model> or "
            f"{RANDOM}"
        ) from error


def _of_run(
    name: str, path: Path, config: dict[str, Any], weights: dict[str, Any], prefix: str, step: int | None
) -> NamedEncoder:
    """Builds the encoder of a run's recipe, with those weights whose names begin with a prefix."""
    recipe = from_stored(config, origin=str(path))
    encoder = build_encoder(recipe.encoder, recipe.data.channels, side=recipe.data.size)
    own = {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if isinstance(key, str) and key.startswith(prefix)
    }
    try:
        encoder.load_state_dict(own)
        check_finite(encoder, "encoder")
        check_bounds(encoder, "encoder")
    except (RuntimeError, ValueError) as error:
        reason = shorten(str(error), 200)
        raise UsageError(
            f"{path}: its weights do not fit its encoder {recipe.encoder.name!r} ({reason}); give another file"
        ) from error
    return NamedEncoder(name, encoder, recipe.encoder, recipe.data, recipe, step, path)


def _of_other_software(
    name: str,
    path: Path,
    tensors: dict[str, torch.Tensor],
    architecture: str | EncoderConfig | None,
    partial: bool,
) -> NamedEncoder:
    if architecture:
        config = _section(architecture)
    else:
        config, tensors = _resnet(path, tensors)
    encoder = build_encoder(config)
    network: nn.Module = encoder
    if isinstance(encoder, (TimmEncoder, ModuleEncoder)):
        network = encoder.model if isinstance(encoder, TimmEncoder) else encoder.module
    fit(tensors, network, str(path), partial=partial)
    try:
        check_finite(encoder, "encoder")
    except ValueError as error:
        raise UsageError(f"{path}: {error}; give another file") from error
    return NamedEncoder(name, encoder, config, _images(encoder), file=path)


def _resnet(path: Path, tensors: dict[str, torch.Tensor]) -> tuple[EncoderConfig, dict[str, torch.Tensor]]:
    """Returns a file's ResNet as `encoder` section and tensors. Raises UsageError if it is none of ours."""
    if prefixes := resnet_prefixes(tensors):
        prefix = choose_prefix(prefixes, str(path))
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if config := resnet_config(own):
            if (channels := own["conv1.weight"].shape[1]) != 3:
                raise UsageError(
                    f"{path}: takes images of {channels} channels, and of other software only encoders of RGB are "
                    "known; of a run of sslfast give its directory or its backbone.safetensors"
                )
            return config, own
    raise UsageError(
        f"{path}: its tensors are no ResNet's that sslfast has; name their architecture by --architecture, in a "
        "recipe by encoder.name; for --supervised evaluate it by itself"
    )


def _random(name: str, architecture: str | EncoderConfig | None) -> NamedEncoder:
    config = _section(architecture) if architecture else EncoderConfig()
    encoder = random_encoder(config, DataConfig(), SEED)
    return NamedEncoder(name, encoder, config, _images(encoder))


def _section(architecture: str | EncoderConfig) -> EncoderConfig:
    return EncoderConfig(name=architecture) if isinstance(architecture, str) else architecture


def _published(name: str, published: Published) -> NamedEncoder:
    data = DataConfig(size=published.side, mean=published.mean, std=published.std)
    return NamedEncoder(name, published.encoder, published.config, data)


def check_unasked(name: str, architecture: str | EncoderConfig | None, partial: bool) -> None:
    """Refuses what tells how to take a state dict for what has an architecture of its own. Raises UsageError."""
    if partial:
        raise UsageError(f"--partial: is for a state dict of other software, and {name} is none; leave it out")
    if isinstance(architecture, str) and not is_given(architecture):
        raise UsageError(f"--architecture {architecture}: {name} has one already; leave it out")


def _images(encoder: Encoder) -> DataConfig:
    """Tells what images an encoder takes whose weights do not: as timm states for its models, else ImageNet's."""
    if isinstance(encoder, TimmEncoder):
        stated = encoder.model.pretrained_cfg
        return DataConfig(size=stated["input_size"][-1], mean=tuple(stated["mean"]), std=tuple(stated["std"]))
    return DataConfig(size=SIDE, mean=IMAGENET_MEAN, std=IMAGENET_STD)
