"""The loader of a training run, whatever pipeline makes its batches."""

from __future__ import annotations

from dataclasses import replace

import torch

from sslfast.config import DataConfig
from sslfast.data.batch import Loader, check_full_batch
from sslfast.data.in_memory import in_memory
from sslfast.data.pipeline import check_dali, has_dali, is_resident, streams_by_pillow
from sslfast.data.resident import ResidentLoader
from sslfast.data.sources import Source
from sslfast.data.sources.form import Form
from sslfast.data.sources.values import in_form
from sslfast.data.spec import LoaderSpec
from sslfast.data.streamed import StreamedLoader
from sslfast.errors import UsageError
from sslfast.extras import dali_extra, install


def make_loader(spec: LoaderSpec) -> Loader:
    """Makes the loader of a process's training batches.

    `data.pipeline=auto` keeps small images on the device (`in_memory.is_small`) and reads others with DALI or,
    where that is missing, with Pillow.

    Raises:
        UsageError: fewer images than a batch, too many unreadable ones, a batch that the processes cannot share
            equally, or a pipeline that cannot serve the source.
    """
    spec = replace(spec, source=in_form(spec.source, Form.of(spec.data)))
    source, data = spec.source, spec.data
    check_full_batch(source.name, len(source), data.batch_size)
    if is_resident(source, data, spec.device):
        return ResidentLoader(spec)
    if source.paths is None:
        raise UsageError(
            f"{source.name}: data.pipeline={data.pipeline} reads files, and these images are an array; "
            "leave it auto"
        )
    if streams_by_pillow(data):
        return StreamedLoader(spec)
    check_dali(data)
    if not has_dali():
        raise UsageError(
            f"{source.name}: data.pipeline={data.pipeline} reads images with NVIDIA DALI, which is missing: "
            f"{install(dali_extra())}, or leave it auto"
        )
    from sslfast.data.dali.loader import DaliLoader

    return DaliLoader(spec)


def load_small(source: Source, data: DataConfig, device: torch.device) -> Source:
    """Decodes a source once, where training will keep it in memory, so that evaluations share it.

    Split first, then load each part: without the unreadable files, another set of images would be held out.

    Returns:
        The readable images, as an array; the source itself where DALI will read it again and again.

    Raises:
        UsageError: it does not fit in memory though data.pipeline=resident, or too many files cannot be read.
    """
    source = in_form(source, Form.of(data))
    return in_memory(source, device)[0] if is_resident(source, data, device) else source
