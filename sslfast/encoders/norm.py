"""The normalization layers of the encoders: over the batch of a device, or over less or more than that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sslfast.config import EncoderConfig
from sslfast.distributed import gather, world_size
from sslfast.errors import UsageError

REPLACED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)  # by `synchronized`; subclasses may do more


def norm_layer(config: EncoderConfig) -> Callable[[int], nn.Module]:
    """Returns the normalization that an `encoder` section asks for, as a function from channels to a layer."""
    match config.norm:
        case "batch":
            return nn.BatchNorm2d
        case "split":
            return partial(SplitBatchNorm, splits=config.norm_splits // world_size())
        case "sync":  # in one process it is BatchNorm2d
            return nn.SyncBatchNorm
        case "layer":  # one group: all channels and places of an image together
            return partial(nn.GroupNorm, 1)


def head_norm_layer(config: EncoderConfig) -> Callable[[int], nn.Module]:
    """Returns the batch normalization of heads, from features to a layer: split where the encoder's is."""
    return norm_layer(config) if config.norm == "split" else nn.BatchNorm1d


def synchronized(module: nn.Module, device: torch.device) -> nn.Module:
    """Replaces each batch normalization in a module by one over the images of all ranks, of the same parameters.

    Raises:
        UsageError: a layer of timm's on a CPU, where nothing replaces it.
    """
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and type(child) in REPLACED:
            setattr(module, name, _over_ranks(child, device))
        elif isinstance(child, nn.SyncBatchNorm):  # with an activation
            if device.type != "cuda":
                raise UsageError(
                    f"encoder.norm=sync: timm's {type(child).__name__} works on GPUs only; on CPUs take batch"
                )
        else:
            synchronized(child, device)
    return module


def _over_ranks(norm: _BatchNorm, device: torch.device) -> nn.Module:
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(norm)
    sync = HostSyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    sync.weight, sync.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        sync.register_buffer(name, buffer)
    return sync


class HostSyncBatchNorm(_BatchNorm):
    """Batch normalization over the images of all ranks, for the CPU, where PyTorch's has no kernel."""

    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes (B, C, ...), of the same shape on every rank; the gradient is that of all ranks' losses."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        places = [dim for dim in range(x.dim()) if dim != 1]
        # The ranks have as many values each: the variance of all is the mean of theirs plus that of their means.
        means, variances = gather(
            torch.stack(
                torch.var_mean(x.to(torch.promote_types(x.dtype, torch.float32)), places, correction=0)[::-1]
            )[None]
        ).unbind(1)
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        with torch.no_grad():
            count = world_size() * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        shape = (-1, *[1] * (x.dim() - 2))
        return (x * scale.view(shape) + (self.bias - mean * scale).view(shape)).to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        """Accepts any number of dimensions after the channels."""


class SplitBatchNorm(_BatchNorm):
    """Batch normalization with statistics over each of `splits` parts of the batch apart.

    One device then normalizes as `splits` devices would, so that MoCo's query and key cannot tell a positive
    by their shared statistics (He et al. 2020, section 3.3). The running statistics take one step of
    `momentum` a batch in all, as those of BatchNorm do: our choice, where devices would keep the first's.
    """

    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, splits: int, momentum: float = 0.1) -> None:
        super().__init__(channels, momentum=momentum)
        self.splits = splits
        # s updates with momentum m' decay the old value by (1 - m')^s = 1 - m.
        self.split_momentum = 1 - (1 - momentum) ** (1 / splits)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes (B, C, ...); in training B must be a multiple of `splits`."""
        if not self.training:
            return super().forward(x)
        if x.shape[0] % self.splits:
            raise UsageError(
                f"split batch norm: expected a batch divisible by encoder.norm_splits={self.splits}, "
                f"got {x.shape[0]}"
            )
        self.num_batches_tracked.add_(1)
        parts = [
            F.batch_norm(
                part,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=True,
                momentum=self.split_momentum,
                eps=self.eps,
            )
            for part in x.chunk(self.splits)
        ]
        return torch.cat(parts)

    def _check_input_dim(self, x: Tensor) -> None:
        """Accepts any number of dimensions after the channels."""


def shares_statistics(network: nn.Module) -> bool:
    """Tells whether a network in training normalizes by statistics of some of the images, not of all ranks'."""
    over_all = nn.SyncBatchNorm, HostSyncBatchNorm
    return any(isinstance(part, _BatchNorm) and not isinstance(part, over_all) for part in network.modules())


# Of the encoders, which do the same in evaluation. Kinds that are derived from one, as timm's, do more than this.
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, SplitBatchNorm)


def replace_norms(module: nn.Module, replacement: Callable[[Any], nn.Module]) -> None:
    """Replaces each batch normalization of a module that is one of BATCH_NORMS; parameters and statistics stay.

    Args:
        module: is changed in place.
        replacement: one of them -> what is to stand in its place, with parameters of the same names.
    """
    for name, child in module.named_children():
        if type(child) in BATCH_NORMS:
            new = replacement(child)
            new.load_state_dict(child.state_dict())
            setattr(module, name, new.to(next(child.parameters()).device).train(child.training))
        else:
            replace_norms(child, replacement)


def whole_batch_norm(norm: _BatchNorm) -> nn.BatchNorm2d:
    """Makes a normalization over the batch of one device out of one over that of several, or as of several."""
    return nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum)


def use_whole_batches(module: nn.Module) -> None:
    """Replaces each batch normalization of a module by one over the batch of a single device."""
    replace_norms(module, whole_batch_norm)
