"""Files of weights, read without trusting them: tensors under dotted names, and what the file says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from sslfast.errors import UsageError

SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file.

    Attributes:
        tensors: by name; those in nested dicts under the names of all, joined by dots.
        config: the recipe that sslfast wrote into a safetensors file; None: the file has none.
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any] | None = None


def read_weights(path: Path) -> WeightsFile:
    """Reads a .safetensors file, or one of torch.save that holds tensors in dicts, onto the CPU.

    Nothing is unpickled but tensors and plain values (`weights_only`).

    Raises:
        UsageError: the file is missing, damaged or something else, or holds no tensor.
    """
    try:
        found = _safetensors(path) if path.suffix.lower() == SAFETENSORS else WeightsFile(_torch(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the weights: {error.strerror or error}") from error
    except Exception as error:  # damaged bytes make the readers raise nearly anything
        raise UsageError(
            f"{path}: no file of weights, or damaged; expected a .safetensors file, or tensors that torch.save "
            "wrote, in dicts: of a model, its state_dict()"
        ) from error
    if not found.tensors:
        raise UsageError(f"{path}: holds no tensors, expected the state_dict of a model")
    return found


def _safetensors(path: Path) -> WeightsFile:
    with safetensors.safe_open(path, "pt") as file:
        config = (file.metadata() or {}).get("config")
    return WeightsFile(safetensors.torch.load_file(path), None if config is None else json.loads(config))


def _torch(path: Path) -> dict[str, Tensor]:
    return dict(_flat(torch.load(path, map_location="cpu", weights_only=True), ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value.detach()
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
