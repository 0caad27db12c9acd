"""Launches of the Triton kernels of aligned pooling."""

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from sslfast.kernels.aligned_pooling.triton_kernels import (
    features_grad_kernel,
    maps_grad_kernel,
    norm_kernel,
    pool_kernel,
    weights_grad_kernel,
)

LIMIT = 2**31  # of an image's offsets, which the kernels keep in 32 bits
TILES, CHANNELS, POSITIONS = 8, 256, 8  # of a tile where there is no matrix product


class AlignedPoolingConfig(NamedTuple):
    """Holds the tile of a matrix product, by the names of its kernel's arguments."""

    BV: int
    BE: int
    BP: int
    num_warps: int
    num_stages: int = 3


class AlignedPoolingConfigs(NamedTuple):
    """Holds the tiles of the three kernels with a matrix product."""

    pool: AlignedPoolingConfig
    features_grad: AlignedPoolingConfig
    weights_grad: AlignedPoolingConfig
    both: AlignedPoolingConfig | None  # of `weights_grad_kernel` where it makes both gradients; None: it does not


def choose_configs(vectors: int, dtype: torch.dtype, channels_last: bool) -> AlignedPoolingConfigs:
    """Chooses tiles for this many vectors of a group.

    Registers set their limits: fp32's exact products need more, and so do tensors whose positions are contiguous,
    which are loaded a value at a time. Two blocks or more run on one of sm_90's processors at a time: an image's
    few positions leave one little to overlap.

    Args:
        vectors: V.
        dtype: of features and maps.
        channels_last: whether the channels of both features and maps are contiguous.
    """
    if dtype == torch.float32:
        tile = AlignedPoolingConfig(16, 64, 32, num_warps=4)
        return AlignedPoolingConfigs(tile._replace(BE=32), tile, tile, tile if vectors <= tile.BV else None)
    bv = max(16, triton.next_power_of_2(vectors))
    return AlignedPoolingConfigs(
        # 16 positions are one instruction of the matrix unit, which then waits for no other of the same tile.
        pool=AlignedPoolingConfig(min(64, bv), 128 if channels_last else 64, 16, num_warps=4),
        features_grad=AlignedPoolingConfig(16, 128, 64, num_warps=4),
        weights_grad=AlignedPoolingConfig(min(64, bv), 128, 64, num_warps=8),
        both=AlignedPoolingConfig(bv, 32, 64, num_warps=4) if channels_last and bv <= 128 else None,
    )


def _channels_last(*tensors: Tensor) -> bool:
    return all(tensor.stride(1) == 1 for tensor in tensors)


def _prepared(features: Tensor, maps: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Returns features [B, D, P] and maps [B, d, P] with an image's offsets in 32 bits, and maps without gaps.

    Either their channels or their positions are contiguous; nothing else is copied but views of such tensors that
    reach too far.
    """
    (d, p), channels = maps.shape[1:], features.shape[1]
    if (largest := max(channels * p, d * p, d // groups * channels)) >= LIMIT:
        raise ValueError(
            "aligned_pooling: expected fewer than 2^31 features, maps and pooled features of an image, got "
            f"{largest}; use impl='reference'"
        )
    if (channels - 1) * features.stride(1) + (p - 1) * features.stride(2) >= LIMIT:
        features = features.contiguous()
    return features, maps if maps.mT.is_contiguous() else maps.contiguous()


def aligned_pooling(
    features: Tensor, maps: Tensor, groups: int, interleaved: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes pooled features (B, d / groups, D), in the features' dtype, and r (B, P) and s (B, d) in fp32."""
    features, maps = _prepared(features, maps, groups)
    (b, d, p), channels = maps.shape, features.shape[1]
    v, e = d // groups, channels // groups
    pooled = features.new_empty(b, v, channels)
    inverse_norms = maps.new_empty((b, p), dtype=torch.float32)
    inverse_sums = maps.new_empty((b, d), dtype=torch.float32)
    if b == 0:
        return pooled, inverse_norms, inverse_sums
    c = choose_configs(v, features.dtype, _channels_last(features, maps)).pool
    with torch.cuda.device_of(features):
        norm_kernel[(b * triton.cdiv(p, POSITIONS),)](
            maps, inverse_norms, *maps.stride(), p, d,
            BC=min(CHANNELS, triton.next_power_of_2(d)), BP=POSITIONS, num_warps=4,
        )  # fmt: skip
        pool_kernel[(b * groups * triton.cdiv(v, c.BV) * triton.cdiv(e, c.BE),)](
            features, maps, inverse_norms, inverse_sums, pooled, *features.stride(), *maps.stride(),
            groups, v, e, p, INTERLEAVED=interleaved, **c._asdict(),
        )  # fmt: skip
    return pooled, inverse_norms, inverse_sums


def aligned_pooling_backward(
    d_pooled: Tensor,
    features: Tensor,
    maps: Tensor,
    inverse_norms: Tensor,
    inverse_sums: Tensor,
    groups: int,
    interleaved: bool,
    need_features: bool,
    need_maps: bool,
) -> tuple[Tensor, Tensor]:
    """Computes the gradients to features, in their layout, and to maps; of no images where they are not needed."""
    (b, d, p), channels = maps.shape, features.shape[1]
    v, e = d // groups, channels // groups
    if features.stride(1) == 1:  # channels_last
        d_features = features.new_empty(b if need_features else 0, p, channels).mT
    else:
        d_features = features.new_empty(b if need_features else 0, channels, p)
    d_maps = maps.new_empty(b if need_maps else 0, d, p)
    if b == 0:
        return d_features, d_maps
    d_pooled, (features, maps) = d_pooled.contiguous(), _prepared(features, maps, groups)
    configs = choose_configs(v, features.dtype, _channels_last(features, maps))
    both = configs.both if need_features and need_maps else None
    c = both or configs.weights_grad
    with torch.cuda.device_of(features):
        if need_maps:
            tiles = triton.cdiv(p, c.BP)
            d_weights = torch.empty_like(maps, dtype=torch.float32)
            means = maps.new_empty((b, tiles, d), dtype=torch.float32)
            weights_grad_kernel[(b * groups * triton.cdiv(v, c.BV) * tiles,)](
                d_pooled, features, maps, inverse_norms, inverse_sums, d_weights, means, d_features,
                *features.stride(), *maps.stride(), *d_features.stride(), groups, v, e, p,
                FEATURES=both is not None, INTERLEAVED=interleaved, **c._asdict(),
            )  # fmt: skip
            maps_grad_kernel[(b * triton.cdiv(p, POSITIONS),)](
                maps, inverse_norms, inverse_sums, d_weights, means, d_maps, *maps.stride(), p, d, tiles,
                BT=min(TILES, triton.next_power_of_2(tiles)), BC=min(CHANNELS, triton.next_power_of_2(d)),
                BP=POSITIONS, num_warps=4,
            )  # fmt: skip
        if need_features and both is None:
            c = configs.features_grad
            features_grad_kernel[(b * groups * triton.cdiv(p, c.BP) * triton.cdiv(e, c.BE),)](
                d_pooled, maps, inverse_norms, inverse_sums, d_features, *maps.stride(), *d_features.stride(),
                groups, v, e, p, INTERLEAVED=interleaved, **c._asdict(),
            )  # fmt: skip
    return d_features, d_maps
