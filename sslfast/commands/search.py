"""`sslfast search`: the images that are most like another one, and those that are nearly the same."""

from __future__ import annotations

from pathlib import Path

from sslfast.commands.embed import embed, features_by
from sslfast.config.paths import existing_path
from sslfast.data import Source
from sslfast.data.sources.names import Names
from sslfast.device import choose_device
from sslfast.embeddings.config import EmbedConfig
from sslfast.embeddings.embeddings import Embeddings
from sslfast.embeddings.files import NPZ, PARQUET, read
from sslfast.errors import UsageError, printable
from sslfast.weights import find_encoder
from sslfast.weights.digest import weights_digest


def search(
    where: str | Path,
    query: str | Path | None = None,
    data: Names | None = None,
    *,
    k: int = 5,
    duplicates: float | None = None,
) -> str:
    """Lists the images most like a query's, or the pairs that are nearly the same, as lines: cosine, then images.

    Args:
        where: embeddings that `sslfast embed` wrote; or an encoder, which embeds `data` first.
        query: an image file; None: duplicates are meant.
        data: the images to search, where `where` is an encoder.
        k: number of neighbors.
        duplicates: the least cosine of a pair.

    Raises:
        UsageError: neither or both of a query and duplicates are asked for; what `where` names cannot be used, or
            the query cannot be read.
    """
    if (query is None) == (duplicates is None):
        raise UsageError("search: give either the file of an image, or --duplicates COSINE")
    embeddings = _embeddings(where, data)
    images = [printable(name) for name in embeddings.images]
    if duplicates is not None:
        found = embeddings.duplicates(duplicates)
        return "\n".join(f"{cosine:.4f}  {images[one]}  {images[other]}" for cosine, one, other in found)
    assert query is not None
    path, device = existing_path(query), choose_device("auto")
    encoder = find_encoder(embeddings.encoder, device)
    if weights_digest(encoder.encoder) != embeddings.weights:
        raise UsageError(f"{where}: was made by other weights than {embeddings.encoder} has now; embed again")
    image = Source(str(query), paths=[path], roots=[path.parent])
    features, _ = features_by(encoder, image, device, EmbedConfig())
    (matches,) = embeddings.nearest(features.cpu(), k)
    return "\n".join(f"{cosine:.4f}  {images[place]}" for cosine, _, place in matches)


def _embeddings(where: str | Path, data: Names | None) -> Embeddings:
    """Loads the embeddings in a file, or computes those of data by an encoder."""
    is_file = Path(where).suffix in (NPZ, PARQUET)
    if is_file and data is not None:
        raise UsageError(f"{where}: holds embeddings; leave out --data")
    if is_file:
        return read(where)
    if data is None:
        raise UsageError(f"{where}: no {NPZ} or {PARQUET} file of embeddings; for an encoder give --data as well")
    return embed(where, data)
