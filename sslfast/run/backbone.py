"""The backbone of a run: out of its checkpoint, and as a safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from sslfast.config import DataConfig, EncoderConfig, Recipe
from sslfast.config.paths import user_path
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import TrainingError, UsageError
from sslfast.recipes.load import from_stored
from sslfast.run.atomic import atomic_write
from sslfast.run.checkpoint import Checkpoints, load
from sslfast.run.fits import check_bounds, check_kinds, check_like

ENCODER = "encoder."  # a method's backbone is its attribute `encoder`


def load_encoder(path: str | Path, device: str | torch.device = "cpu") -> tuple[Encoder, Recipe]:
    """The backbone of a checkpoint, in evaluation mode, and the configuration it was trained by.

    Args:
        path: a checkpoint, or a run's directory, whose newest is taken.
        device: where to put the encoder.

    Raises:
        UsageError: there is no checkpoint, it cannot be read, or its weights do not fit its configuration.
    """
    path = user_path(path)
    return restored_encoder(load_state(path), path, device)


def load_state(path: Path) -> dict[str, Any]:
    """The state in a checkpoint, or in the newest of a run's directory, with a method and a configuration.

    Raises:
        UsageError: there is no checkpoint, it cannot be read, or it lacks these.
    """
    if path.is_dir():
        checkpoints = path / "checkpoints"
        latest = Checkpoints(checkpoints, keep=0).latest() if checkpoints.is_dir() else None
        if latest is None:
            raise UsageError(f"{path}: holds no checkpoint; give a run's directory or a checkpoint's file")
        path, state = latest
    else:
        state = load(path)
    if not {"config", "method"} <= state.keys():
        raise UsageError(f"{path}: a checkpoint without an encoder; give one that `sslfast pretrain` wrote")
    try:
        check_kinds(state, ("config", "method"))
    except ValueError as error:
        raise UsageError(f"{path}: {error}; give another checkpoint") from error
    return state


def restored_encoder(
    state: dict[str, Any], path: Path, device: str | torch.device = "cpu"
) -> tuple[Encoder, Recipe]:
    """`load_encoder` of a state that was loaded from `path`, which errors name."""
    config = from_stored(state["config"], origin=str(path))
    encoder = build_encoder(config.encoder)
    weights = {
        key.removeprefix(ENCODER): value
        for key, value in state["method"].items()
        if isinstance(key, str) and key.startswith(ENCODER)
    }
    try:
        check_like(weights, encoder.state_dict(), "method.encoder")
        encoder.load_state_dict(weights)
        check_bounds(encoder, "method.encoder")
    except ValueError as error:
        raise UsageError(f"{path}: its weights do not fit its encoder {config.encoder.name!r}: {error}") from error
    return encoder.eval().to(device), config


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
        write_safetensors(path, encoder.state_dict(), {"config": json.dumps(config)})
    except OSError as error:
        raise TrainingError(f"{path}: cannot write the backbone: {error.strerror}") from error


def write_safetensors(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes tensors and metadata as a safetensors file: the whole file or, killed at any moment, nothing.

    The same content is the same bytes.
    """
    # safetensors takes dense tensors only, and weights may be channels_last.
    weights = {name: weight.contiguous().cpu() for name, weight in weights.items()}
    content = _with_sorted_metadata(safetensors.torch.save(weights, {"format": "pt", **metadata}))
    with atomic_write(path) as file:
        file.write(content)


def _with_sorted_metadata(content: bytes) -> bytes:
    """The bytes of a safetensors file with its metadata in the order of their names.

    safetensors sorts the tensors, but writes the metadata in the order of a hash table, another one in each call.
    The file is the length of the header, in 8 bytes, the header, JSON that spaces bring to a multiple of 8 bytes,
    and the tensors, whose places count from the header's end.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def random_encoder(config: EncoderConfig, data: DataConfig, seed: int) -> Encoder:
    """The encoder as the run with this seed initialised it; leaves torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(config, mean=data.mean, std=data.std)
