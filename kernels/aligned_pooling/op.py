"""Aligned pooling averages features under learned maps, as in LEWEL, without the softmax in memory."""

from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor

from sslfast.kernels.aligned_pooling import reference
from sslfast.kernels.common import checks
from sslfast.kernels.common.autocast import autocast
from sslfast.kernels.common.op import MISSING, Impl, Op

OP = Op(
    "aligned_pooling",
    "(Tensor features, Tensor maps, int groups, bool interleaved) "
    "-> (Tensor pooled, Tensor inverse_norms, Tensor inverse_sums)",
    impls=("cpp", "triton"),
)
BACKWARD = Op(
    "aligned_pooling_backward",
    "(Tensor d_pooled, Tensor features, Tensor maps, Tensor inverse_norms, Tensor inverse_sums, int groups, "
    "bool interleaved, bool need_features, bool need_maps) -> (Tensor d_features, Tensor d_maps)",
    impls=("cpp", "triton"),
    internal=True,
)


def aligned_pooling(
    features: Tensor,
    maps: Tensor,
    *,
    groups: int = 1,
    order: Literal["published", "paper"] = "published",
    impl: Impl = "auto",
) -> Tensor:
    """Pools features under d / groups alignment maps for each of `groups` groups of their channels.

    The pooling is LEWEL's (Huang et al. 2022, "Learning Where to Learn in Cross-View Self-Supervised Learning",
    equations 1 and 2). With h = groups:

        weights = F.normalize(maps, dim=1).flatten(2).softmax(dim=2)     # (B, d, H * W)
        weights = weights.view(B, h, d // h, H * W)                      # order="published"
        weights = weights.view(B, d // h, h, H * W).transpose(1, 2)      # order="paper"
        grouped = features.reshape(B, h, D // h, H * W)
        pooled = weights @ grouped.transpose(2, 3)                       # (B, h, d // h, D // h)
        return pooled.transpose(1, 2).reshape(B, d // h, D)

    Equal maps give global average pooling. The softmax and the products are accumulated in fp32. Saved for the
    backward pass, beside the inputs: the maps' norms, (B, H * W), and the softmax's sums, (B, d).

    Args:
        features: (B, D, H, W), fp32, fp16, bf16, or fp64 (reference only); contiguous or channels_last alike.
            Under autocast the inputs are cast as for a matmul.
        maps: (B, d, H, W), same dtype as features: scores before their normalization over the d channels.
        groups: h, divides both D and d.
        order: which maps belong to group g (from 0), as vector k (from 0): number g * d / h + k, as in the
            authors' code, or k * h + g, as in the paper's equation 2.
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Returns:
        (B, d / groups, D), in the inputs' dtype. Both inputs receive gradients.

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit; groups that do not divide the channels.
        RuntimeError: an explicit `impl` that is not available; a derivative of the gradient, except from the
            reference.
    """
    checks.check_tensors("aligned_pooling", features=features, maps=maps)
    features, maps = autocast(features, maps)
    _check(features, maps, groups, order)
    features, maps = features.flatten(2), maps.flatten(2)  # (B, D, P), (B, d, P): P positions
    arguments = features, maps, groups, order == "paper"
    chosen = OP.choose(impl, features.device, features.dtype)
    if chosen == "reference":
        return reference.aligned_pooling(*arguments)
    pooled, _, _ = OP.call(chosen, *arguments)
    return pooled


def _check(features: Tensor, maps: Tensor, groups: int, order: str) -> None:
    if features.ndim != 4 or 0 in features.shape[1:]:
        raise ValueError(
            "aligned_pooling: expected features of shape (B, D, H, W) with D, H, W > 0, "
            f"got {tuple(features.shape)}"
        )
    b, channels, height, width = features.shape
    if maps.ndim != 4 or maps.shape[1] == 0 or maps.shape[::2] + maps.shape[3:] != (b, height, width):
        raise ValueError(
            f"aligned_pooling: expected maps of shape ({b}, d, {height}, {width}) with d > 0 to match features, "
            f"got {tuple(maps.shape)}"
        )
    checks.check_alike("aligned_pooling", "features", features=features, maps=maps)
    if not isinstance(groups, Integral) or groups < 1 or channels % groups or maps.shape[1] % groups:
        raise ValueError(
            f"aligned_pooling: expected groups that divide the {channels} channels of features and the "
            f"{maps.shape[1]} of maps, got {groups!r}"
        )
    check_order("aligned_pooling", order)


def check_order(op: str, order: str) -> None:
    """Raises ValueError for an unknown order of the maps."""
    if order not in ("published", "paper"):
        raise ValueError(f"{op}: expected order to be 'published' or 'paper', got {order!r}")


@OP.fake
def _(features: Tensor, maps: Tensor, groups: int, interleaved: bool) -> tuple[Tensor, Tensor, Tensor]:
    (b, d, positions), channels = maps.shape, features.shape[1]
    inverse_norms = maps.new_empty((b, positions), dtype=torch.float32)
    inverse_sums = maps.new_empty((b, d), dtype=torch.float32)
    return features.new_empty(b, d // groups, channels), inverse_norms, inverse_sums


@BACKWARD.fake
def _(
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
    (b, channels, positions) = features.shape
    if features.stride(1) == 1:  # channels_last
        d_features = features.new_empty(b if need_features else 0, positions, channels).mT
    else:
        d_features = features.new_empty(b if need_features else 0, channels, positions)
    return d_features, maps.new_empty(b if need_maps else 0, *maps.shape[1:])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    features, maps, ctx.groups, ctx.interleaved = inputs
    _, inverse_norms, inverse_sums = output
    ctx.mark_non_differentiable(inverse_norms, inverse_sums)
    ctx.save_for_backward(features, maps, inverse_norms, inverse_sums)


def _backward(ctx: Any, d_pooled: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    need_features, need_maps, *_ = ctx.needs_input_grad
    d_features, d_maps = BACKWARD.call(
        ctx.impl, d_pooled, *ctx.saved_tensors, ctx.groups, ctx.interleaved, need_features, need_maps
    )
    return d_features if need_features else None, d_maps if need_maps else None, None, None


OP.autograd(_setup_context, _backward)

if MISSING["triton"] is None:
    from sslfast.kernels.aligned_pooling import triton_launch

    OP.triton(triton_launch.aligned_pooling)
    BACKWARD.triton(triton_launch.aligned_pooling_backward)
