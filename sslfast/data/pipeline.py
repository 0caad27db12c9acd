"""The choice of a pipeline: images kept on the device, or decoded as they are needed."""

from __future__ import annotations

import importlib

import torch

from sslfast.config import DataConfig
from sslfast.data.in_memory import is_small
from sslfast.data.sources import Source


def is_resident(source: Source, data: DataConfig, device: torch.device) -> bool:
    """Whether `data.pipeline` keeps the images on the device."""
    return data.pipeline == "resident" or (data.pipeline == "auto" and is_small(source, device))


def streams_by_pillow(data: DataConfig) -> bool:
    """Whether `data.pipeline` has Pillow read the images that do not stay on the device."""
    return data.pipeline == "pillow" or (data.pipeline == "auto" and not has_dali())


def has_dali() -> bool:
    """Whether NVIDIA DALI can be imported."""
    try:
        importlib.import_module("nvidia.dali")
    except ImportError:
        return False
    return True
