"""The features that a frozen encoder has of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sslfast.config import DataConfig
from sslfast.data import Source, eval_batches
from sslfast.device import DTYPES, choose_device, choose_precision
from sslfast.distributed import gather_uneven, rank, world_size
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.evaluation.options import FeaturesConfig
from sslfast.progress import trange


@torch.no_grad()
def features(
    encoder: nn.Module,
    source: Source,
    data: DataConfig,
    device: torch.device,
    *,
    batch_size: int = 256,
    compute_dtype: torch.dtype = torch.float32,
    dtype: torch.dtype = torch.float32,
    check_interrupt: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Computes the features of every image that can be read: resized, center-cropped, not augmented.

    The encoder runs in evaluation mode, in its form for inference where it has one, and stays as it was. Of
    several processes each embeds its part of the images, and gets the features of all.

    Args:
        encoder: any network of (B, C, S, S) -> (B, feature_dim), or to maps (B, feature_dim, h, w), on `device`.
        source: N images.
        data: `size`, `mean` and `std` of the encoder's input.
        device: where to compute.
        batch_size: number of images at once; changes no feature beyond rounding.
        compute_dtype: fp32, bf16 or fp16: the encoder's arithmetic.
        dtype: of the features that are returned. No other copy of them is held meanwhile.
        check_interrupt: is called before each batch, equally often on every rank; what it raises ends the pass.

    Returns:
        (features, index): of `dtype`, (M, feature_dim) or (M, feature_dim, h, w), on `device`, and int64 (M,) on
        the CPU, the images' positions in the source in rising order; M < N where images cannot be read.

    Raises:
        UsageError: no image can be read.
    """
    batches = eval_batches(source, data.size, data, batch_size, device, rank(), world_size())
    most = math.ceil(len(source) / world_size())  # images that any rank has
    rows, positions, count = torch.empty(0), torch.empty(most, dtype=torch.int64), 0
    with (
        _evaluating(encoder),
        # A compiled part of the network would compile anew for this mode and these shapes.
        torch.compiler.set_stance("force_eager"),
        torch.autocast(device.type, compute_dtype, enabled=compute_dtype != torch.float32),
    ):
        network = encoder.for_inference(compute_dtype) if isinstance(encoder, Encoder) else encoder
        for _ in trange(math.ceil(most / batch_size), desc="features", unit="batch", leave=False, disable=None):
            check_interrupt()
            if (batch := next(batches, None)) is not None:
                images, index = batch
                new = network(images)
                if not count:
                    rows = new.new_empty((most, *new.shape[1:]), dtype=dtype)
                rows[count : count + len(new)] = new
                positions[count : count + len(new)] = index
                count += len(new)
    if not count:
        raise UsageError(f"{source.name}: none of its {len(source)} images can be read")
    return gather_uneven(rows[:count]), gather_uneven(positions[:count])


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Puts a network into evaluation mode for a while, and then each of its modules back into its own."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def labeled_features(
    encoder: Encoder, source: Source, data: DataConfig, device: torch.device, **settings: Any
) -> tuple[Tensor, Tensor]:
    """Computes the `features` of a labeled source, by any settings that these have, and its labels.

    Returns:
        (features, labels): (M, feature_dim) and int64 (M,), both on `device`.
    """
    assert source.labels is not None
    x, index = features(encoder, source, data, device, **settings)
    return x, torch.from_numpy(source.labels)[index].to(device)


def train_val_features(
    encoder: Encoder,
    train: Source,
    val: Source,
    data: DataConfig,
    options: FeaturesConfig,
    *,
    train_dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Computes the `labeled_features` of training and held-out images: (train_x, train_y, val_x, val_y).

    Those of the training images are of `train_dtype`, the others fp32.
    """
    device = choose_device(options.device)
    compute_dtype = DTYPES[choose_precision(options.precision, device.type)]
    settings = {"batch_size": options.chunk, "compute_dtype": compute_dtype}
    train_x, train_y = labeled_features(encoder, train, data, device, dtype=train_dtype, **settings)
    val_x, val_y = labeled_features(encoder, val, data, device, **settings)
    return train_x, train_y, val_x, val_y
