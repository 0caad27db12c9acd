"""The features of a frozen encoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sslfast.config import DataConfig
from sslfast.data import Source, eval_batches
from sslfast.distributed import gather_uneven, rank, world_size
from sslfast.encoders import Encoder
from sslfast.errors import UsageError


@torch.no_grad()
def features(
    encoder: nn.Module, source: Source, data: DataConfig, device: torch.device, *, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """Features of every image that can be read: resized, centre-cropped, not augmented.

    The encoder runs in evaluation mode and is put back into the mode it was in. Of several processes each embeds
    its part of the images, and gets the features of all.

    Args:
        encoder: on `device`; any network of (B, 3, S, S) -> (B, feature_dim).
        source: N images.
        data: `size`, `mean` and `std` of the encoder's input.
        device: where to compute.
        batch_size: images at once; changes no feature beyond rounding.

    Returns:
        (features, kept): fp32 (M, feature_dim) on `device`, and int64 (M,) on the CPU, the images' positions in
        the source in rising order; M < N where images cannot be read.

    Raises:
        UsageError: no image can be read.
    """
    rows, kept = [], []
    was_training = encoder.training
    encoder.eval()
    try:
        batches = eval_batches(source, data.size, data, batch_size, device, rank(), world_size())
        total = math.ceil(len(source) / world_size() / batch_size)
        # What of the network is compiled would compile anew for this mode and these shapes.
        with torch.compiler.set_stance("force_eager"):
            for images, index in tqdm(batches, "features", total, unit="batch", leave=False, disable=None):
                rows.append(encoder(images).float())
                kept.append(index.cpu())
    finally:
        encoder.train(was_training)
    if not rows:
        raise UsageError(f"{source.name}: none of its {len(source)} images can be read")
    return gather_uneven(torch.cat(rows)), gather_uneven(torch.cat(kept))


def labelled_features(
    encoder: Encoder, source: Source, data: DataConfig, device: torch.device, *, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """`features` of a labelled source with their labels.

    Returns:
        (features, labels): fp32 (M, feature_dim) and int64 (M,), both on `device`.
    """
    assert source.labels is not None
    x, kept = features(encoder, source, data, device, batch_size=batch_size)
    return x, torch.from_numpy(source.labels)[kept].to(device)
