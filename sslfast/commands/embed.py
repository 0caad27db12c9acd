"""`sslfast embed`: the features that an encoder has of images, with the images' names and labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from sslfast.config.settings import Overrides, apply_overrides
from sslfast.config.validation import validate
from sslfast.data import Source, open_source
from sslfast.data.sources.names import Names
from sslfast.device import DTYPES, choose_device, choose_precision
from sslfast.embeddings.config import EmbedConfig
from sslfast.embeddings.embeddings import Embeddings
from sslfast.embeddings.files import check_out, write
from sslfast.encoders import Encoder
from sslfast.evaluation.features import features
from sslfast.weights import NamedEncoder, find_encoder
from sslfast.weights.digest import weights_digest


class Patches(nn.Module):
    """An encoder whose output is its map of features, (B, D, h, w)."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.encoder(x, dense=True)
        return y


def embed(
    encoder: str | Path,
    data: Names,
    out: str | Path | None = None,
    overrides: Overrides = (),
    *,
    patches: bool = False,
    architecture: str | None = None,
    partial: bool = False,
) -> Embeddings:
    """Computes the embeddings of images, which are written too where a file is named.

    Images are resized and center-cropped to the side of the encoder's, and not augmented.

    Args:
        encoder: which one, as `sslfast.load_encoder` takes it.
        data: the images, as `open_source` takes them.
        out: a .npz, .parquet or .csv file, see `sslfast.embeddings.files.write`; None: none is written.
        overrides: settings of `EmbedConfig`.
        patches: the encoder's maps of features, (N, D, h, w), in place of one vector an image.
        architecture, partial: as `sslfast.load_encoder` takes them.

    Raises:
        UsageError: no such encoder or images, an encoder without a map, or a file that cannot be written.
    """
    options = validate(EmbedConfig, apply_overrides(EmbedConfig, {}, overrides), "embed", "sslfast embed --help")
    if out is not None:
        check_out(out, patches=patches)
    device = choose_device(options.device)
    found = find_encoder(encoder, device, architecture=architecture, partial=partial)
    source = open_source(data, limit=options.limit, on_error=options.on_error, max_bad=options.max_bad)
    x, index = features_by(found, source, device, options, patches=patches)
    embeddings = Embeddings(
        x.cpu().numpy(),
        [str(i) if source.paths is None else str(source.paths[i]) for i in index.tolist()],
        None if source.labels is None else source.labels[index.numpy()],
        source.classes,
        found.name,
        weights_digest(found.encoder),
    )
    if out is not None:
        write(embeddings, out)
    return embeddings


def features_by(
    found: NamedEncoder, source: Source, device: torch.device, options: EmbedConfig, *, patches: bool = False
) -> tuple[Tensor, Tensor]:
    """Computes the features of the readable images, fp32 on the device, and their positions in the source."""
    network = Patches(found.encoder).eval() if patches else found.encoder
    return features(
        network,
        source,
        dataclasses.replace(found.data, range=options.range or found.data.range),
        device,
        batch_size=options.chunk,
        compute_dtype=DTYPES[choose_precision(options.precision, device.type)],
    )
