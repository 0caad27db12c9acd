"""The features that a frozen encoder has of images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm import trange

from sslfast.config import DataConfig
from sslfast.data import Source, eval_batches
from sslfast.device import choose_device
from sslfast.distributed import gather_uneven, rank, world_size
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.evaluation.options import EvaluationConfig


@torch.no_grad()
def features(
    encoder: nn.Module,
    source: Source,
    data: DataConfig,
    device: torch.device,
    *,
    batch_size: int = 256,
    check_interrupt: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """The features of every image that can be read: resized, centre-cropped, not augmented.

    The encoder runs in evaluation mode and is put back into the mode it was in. Of several processes each embeds
    its part of the images, and gets the features of all.

    Args:
        encoder: any network of (B, 3, S, S) -> (B, feature_dim), on `device`.
        source: N images.
        data: `size`, `mean` and `std` of the encoder's input.
        device: where to compute.
        batch_size: number of images at once; changes no feature beyond rounding.
        check_interrupt: is called before each batch, equally often on every rank; what it raises ends the pass.

    Returns:
        (features, index): fp32 (M, feature_dim) on `device`, and int64 (M,) on the CPU, the images' positions in
        the source in rising order; M < N where images cannot be read.

    Raises:
        UsageError: no image can be read.
    """
    rows, positions = [], []
    was_training = encoder.training
    encoder.eval()
    try:
        batches = eval_batches(source, data.size, data, batch_size, device, rank(), world_size())
        most = math.ceil(math.ceil(len(source) / world_size()) / batch_size)  # that any rank has
        # A compiled part of the network would compile anew for this mode and these shapes.
        with torch.compiler.set_stance("force_eager"):
            for _ in trange(most, desc="features", unit="batch", leave=False, disable=None):
                check_interrupt()
                if (batch := next(batches, None)) is not None:
                    images, index = batch
                    rows.append(encoder(images).float())
                    positions.append(index.cpu())
    finally:
        encoder.train(was_training)
    if not rows:
        raise UsageError(f"{source.name}: none of its {len(source)} images can be read")
    return gather_uneven(torch.cat(rows)), gather_uneven(torch.cat(positions))


def labeled_features(
    encoder: Encoder,
    source: Source,
    data: DataConfig,
    device: torch.device,
    *,
    batch_size: int = 256,
    check_interrupt: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """The `features` of a labelled source, and its labels.

    Returns:
        (features, labels): fp32 (M, feature_dim) and int64 (M,), both on `device`.
    """
    assert source.labels is not None
    x, index = features(encoder, source, data, device, batch_size=batch_size, check_interrupt=check_interrupt)
    return x, torch.from_numpy(source.labels)[index].to(device)


def train_val_features(
    encoder: Encoder, train: Source, val: Source, data: DataConfig, options: EvaluationConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The `labeled_features` of training and held-out images: (train_x, train_y, val_x, val_y)."""
    device = choose_device(options.device)
    train_x, train_y = labeled_features(encoder, train, data, device, batch_size=options.chunk)
    val_x, val_y = labeled_features(encoder, val, data, device, batch_size=options.chunk)
    return train_x, train_y, val_x, val_y
