"""The choice of a pipeline: images kept on the device, or decoded as they are needed."""

from __future__ import annotations

import importlib

import torch

from sslfast.config import DataConfig
from sslfast.data.in_memory import is_small
from sslfast.data.sources import Source
from sslfast.data.sources.form import check_rgb


def is_resident(source: Source, data: DataConfig, device: torch.device) -> bool:
    """Tells whether `data.pipeline` keeps the images on the device."""
    return data.pipeline == "resident" or (data.pipeline == "auto" and is_small(source, device))


def streams_by_pillow(data: DataConfig) -> bool:
    """Tells whether `data.pipeline` has Pillow read the images that do not stay on the device.

    Where it leaves that open, DALI does if it can: where it is installed, images of its form.
    """
    return data.pipeline == "pillow" or (data.pipeline == "auto" and not (is_for_dali(data) and has_dali()))


def is_for_dali(data: DataConfig) -> bool:
    """Tells whether images are to be of the form that DALI reads: RGB of 8 bits."""
    return (data.channels, data.depth) == (3, 8)


def check_dali(data: DataConfig) -> None:
    """Refuses to read images with DALI that are to be of another form. Raises UsageError."""
    check_rgb(
        data,
        f"data.pipeline={data.pipeline}, by DALI,",
        "set data.pipeline=resident, pillow or auto",
        of_8_bits=True,
    )


def has_dali() -> bool:
    """Tells whether NVIDIA DALI can be imported."""
    try:
        importlib.import_module("nvidia.dali")
    except ImportError:
        return False
    return True
