"""The batches of a training run and of an evaluation, whatever pipeline makes them."""

from __future__ import annotations

import torch

from sslfast.config import DataConfig
from sslfast.data.batch import Loader, full_batches
from sslfast.data.in_memory import in_memory
from sslfast.data.pipeline import has_dali, is_resident
from sslfast.data.resident import ResidentLoader
from sslfast.data.sources import Source
from sslfast.errors import UsageError


def make_loader(
    source: Source,
    data: DataConfig,
    seed: int,
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Loader:
    """Make the training batches of a source.

    `data.pipeline=auto` keeps small images on the device (`in_memory.is_small`) and reads others with DALI.

    Args:
        source: the images; a batch's `index` is a position in it.
        data: sizes, views, pipeline.
        seed: of the order and of the augmentations.
        device: where the batches go.
        rank: of this process, in [0, world_size), which makes its part of each batch only.
        world_size: processes. Their parts, one after the other, are the batch that one process would make.
        dtype: of the views, which are computed in fp32: bf16 rounds them as autocast's first layer would.

    Raises:
        UsageError: fewer images than a batch, too many unreadable ones, a batch that the processes cannot share
            equally, or a pipeline that cannot serve the source.
    """
    full_batches(source.name, len(source), data.batch_size)
    if is_resident(source, data, device):
        return ResidentLoader(source, data, seed, device, rank, world_size, dtype)
    if source.paths is None:
        raise UsageError(
            f"{source.name}: data.pipeline={data.pipeline} reads files, and these images are an array; "
            "leave it auto"
        )
    if not has_dali():
        raise UsageError(
            f"{source.name}: images of this size are read with NVIDIA DALI, which is missing: "
            "pip install nvidia-dali-cuda130, or set data.pipeline=resident if they fit in memory"
        )
    from sslfast.data.dali.loader import DaliLoader

    return DaliLoader(source, data, seed, device, rank, world_size, dtype)


def load_small(source: Source, data: DataConfig, device: torch.device) -> Source:
    """Decode a source once, where training will keep it in memory, so that evaluations share it.

    Split first, then load each part: without the unreadable files, another set of images would be held out. Of
    images of several sizes each part is kept at its own, which evaluations bring to theirs.

    Returns:
        The readable images, as an array; the source itself where DALI will read it again and again.

    Raises:
        UsageError: it does not fit in memory though data.pipeline=resident, or too many files cannot be read.
    """
    return in_memory(source, device)[0] if is_resident(source, data, device) else source
