"""`sslfast.embed`: the features of images, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from sslfast.commands.embed import embed as embed_named
from sslfast.data.sources.given import Data, named_data
from sslfast.embeddings.embeddings import Embeddings
from sslfast.encoders.given import named_module


def embed(
    encoder: str | Path,
    data: Data,
    out: str | Path | None = None,
    *,
    patches: bool = False,
    architecture: str | nn.Module | None = None,
    partial: bool = False,
    **settings: Any,
) -> Embeddings:
    """Computes the features of images with their names and labels, which are written too where a file is named.

        found = sslfast.embed("runs/photos", "photographs/", "embeddings.npz")
        found.features, found.images, found.duplicates(0.95)

    Args:
        encoder: which one, as `sslfast.load_encoder` takes it.
        data: the images, as `sslfast.pretrain` takes them.
        out: a .npz, .parquet or .csv file, see `sslfast.embeddings.files.write`; None: none is written.
        patches: the encoder's maps of features, (N, D, h, w), in place of one vector an image.
        architecture, partial: as `sslfast.load_encoder` takes them.
        **settings: those that `sslfast embed --help` lists: limit=1000.

    Raises:
        UsageError: no such encoder or images, an encoder without a map, or a file that cannot be written.
    """
    with named_data(data) as names, named_module(architecture) as network:
        return embed_named(encoder, names, out, settings, patches=patches, architecture=network, partial=partial)
