"""The backbone of a run: as its seed begins it, and as a safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from sslfast.config import DataConfig, EncoderConfig
from sslfast.encoders import Encoder, ModuleEncoder, build_encoder, starts_at_random
from sslfast.errors import TrainingError
from sslfast.run.atomic import atomic_write

ENCODER = "encoder."  # a method's backbone is its attribute `encoder`


def write_backbone(encoder: Encoder, path: Path, config: dict[str, Any]) -> None:
    """Writes an encoder's weights: the whole file or, killed at any moment, nothing.

    `sslfast.load_encoder` loads them; the metadata's `config`, JSON, says how the encoder is built.

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
    """Puts the metadata of a safetensors file's bytes into the order of their names.

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


def initial_name(config: EncoderConfig) -> str:
    """Says what the weights that a run starts from are called, beside those that it comes to."""
    return "random initialization" if starts_at_random(config) else "initial weights"


def random_encoder(config: EncoderConfig, data: DataConfig, seed: int) -> Encoder:
    """Makes the encoder with random weights, as a run with this seed begins it where it has none to start from.

    Leaves torch's generator as it was. A module that was given from Python is initialized anew.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_encoder(config, data.channels, mean=data.mean, std=data.std, side=data.size)
        if isinstance(encoder, ModuleEncoder):
            encoder.initialize()
        return encoder
