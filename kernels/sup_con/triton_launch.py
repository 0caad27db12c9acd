"""The launches of the Triton kernels of the supervised contrastive loss, and of most sizes of NT-Xent."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from sslfast.kernels.common.launch import (
    LOG2_E,
    SHARED_MEMORY,
    has_tensor_memory,
    has_warpgroups,
    matmul,
    part_length,
    processors,
    shared_memory,
)
from sslfast.kernels.common.positives import positive_products
from sslfast.kernels.sup_con.triton_forward import merge_kernel, partial_kernel, row_kernel
from sslfast.kernels.sup_con.triton_gradient import gradient_kernel, prepare_kernel, sum_kernel, weight_kernel

MAX_RESIDENT_D = 256  # wider accumulators leave the matrix unit idle: two products of torch's are faster
PREPARE_BM, PREPARE_WARPS = 4096, 16  # rows that `prepare_kernel` looks at at a time
BLOCK_ELEMENTS = 2**22  # of products at a time where torch multiplies
PROCESSOR_REGISTERS = 65536
MIN_CROWDED_M = 4096  # of fewer rows, parts for more blocks are so short that to write and add them takes as long


class SupConConfig(NamedTuple):
    """The cut of a kernel over tiles. BM, BN: anchors and other rows a tile; BD: columns, a power of two."""

    BM: int
    BN: int
    BD: int
    split_rows: int  # rows a part
    num_warps: int
    num_stages: int
    blocks: int  # on a processor at the same time, where a block may have SHARED_MEMORY
    WHOLE: bool  # whether every tile is: no row or column of one is past the end
    maxnreg: int | None  # registers a thread, so that as many blocks fit


def choose_config(
    m: int, d: int, processors: int, warpgroups: bool, *, labeled: bool, backward: bool, roomy: bool
) -> SupConConfig:
    """Chooses the configuration for (M, D) in fp16 or bf16: tiles that fit, and work for every processor.

    Args:
        m: rows.
        d: columns.
        processors: the GPU's streaming multiprocessors.
        warpgroups: whether its matrix unit takes the rows of four warps at a time.
        labeled: whether positives are told by labels, which need registers.
        backward: for `gradient_kernel`, not `partial_kernel`.
        roomy: whether memory for tiles and their products leaves a processor room for one more block.
    """
    bd = max(16, triton.next_power_of_2(d))
    bm, bn = 64, 32 if bd > 128 or (labeled and not backward) else 64
    num_warps, blocks = (4, 2) if warpgroups else (8, 1)
    whole = m % bm == 0 and d == bd
    maxnreg = None
    if backward and whole and roomy and not labeled and bd <= 128 and m >= MIN_CROWDED_M:
        blocks += 1  # while one takes powers, the others multiply
        maxnreg = PROCESSOR_REGISTERS // (blocks * num_warps * 32) // 8 * 8
    split_rows = part_length(m, bn, triton.cdiv(m, bm), blocks * processors)
    return SupConConfig(bm, bn, bd, split_rows, num_warps, 3, blocks, whole, maxnreg)


def merge_config(parts: int) -> tuple[int, int]:
    """Chooses BS and BM of `merge_kernel`: few trips through the parts, and work for every processor."""
    bs = min(128, triton.next_power_of_2(parts))
    return bs, 16 if bs > 64 else 32


def sum_config(parts: int) -> tuple[int, int]:
    """Chooses BS and BE of `sum_kernel`: few trips through the parts, and loads of 16 bytes."""
    bs = min(16, triton.next_power_of_2(parts))
    return bs, min(1024, 4096 // bs)


def _config(features: Tensor, labels: Tensor | None, *, backward: bool) -> SupConConfig:
    m, d = features.shape
    gpu = processors(features), has_warpgroups(features)
    roomy = shared_memory(features) >= SHARED_MEMORY and not has_tensor_memory(features)
    return choose_config(m, d, *gpu, labeled=labels is not None, backward=backward, roomy=roomy)


def is_resident(features: Tensor) -> bool:
    """Tells whether rows are narrow enough for the kernels that multiply matrices themselves.

    Those of fp32 never are: exact products leave no registers for an accumulator.
    """
    return features.dtype != torch.float32 and features.shape[1] <= MAX_RESIDENT_D


def sup_con(features: Tensor, labels: Tensor | None, temperature: float) -> tuple[Tensor, ...]:
    """Computes losses (M,); top and log2 Z, for the backward pass; and the numbers of positives; all fp32."""
    return _forward(features, labels, temperature, need_positive_rank=False)[:4]


def forward_of_pairs(features: Tensor, temperature: float, need_positive_rank: bool) -> tuple[Tensor, ...]:
    """Computes what `sup_con` does for the pairs of rows i and i + M / 2, and their positive ranks.

    These are int64, (M,) if asked for, else (0,).
    """
    return _forward(features, None, temperature, need_positive_rank)


def merge(partial: Sequence[Tensor], results: Sequence[Tensor], scale: float, *, shifted: bool) -> None:
    """Adds the parts' sums in a fixed order, and makes of them what `sup_con` returns.

    Args:
        partial: tops and sums (parts, M); the sums over positives in fp64 and the positives' numbers, which may
            have fewer parts.
        results: (M,) each, which it writes.
        scale: log2(e) / t.
        shifted: whether tops may be less than the maxima, as those of NT-Xent's own kernel.
    """
    parts, m = partial[0].shape
    bs, bm = merge_config(parts)
    merge_kernel[(triton.cdiv(m, bm),)](
        *partial, *results, m, parts, len(partial[2]), scale, BS=bs, BM=bm, SHIFTED=shifted, num_warps=4
    )


def _forward(
    features: Tensor, labels: Tensor | None, temperature: float, need_positive_rank: bool
) -> tuple[Tensor, ...]:
    features, labels = features.contiguous(), None if labels is None else labels.contiguous()
    m, d = features.shape
    results = [features.new_empty(m, dtype=torch.float32) for _ in range(4)]
    positive_rank = features.new_empty(m if need_positive_rank else 0, dtype=torch.int64)
    if m == 0:
        return *results, positive_rank
    scale = LOG2_E / temperature
    with torch.cuda.device_of(features):
        pair = positive_products(features[: m // 2], features[m // 2 :]) if need_positive_rank else None
        if is_resident(features):
            c = _config(features, labels, backward=False)
            splits = triton.cdiv(m, c.split_rows)
            dtypes = torch.float32, torch.float32, torch.float64, torch.float32
            partial = [features.new_empty((splits, m), dtype=dtype) for dtype in dtypes]
            above = features.new_empty((splits, m), dtype=torch.int32) if need_positive_rank else None
            partial_kernel[(triton.cdiv(m, c.BM), splits)](
                features, labels, *partial, pair, above, m, d, c.split_rows, scale,
                BM=c.BM, BN=c.BN, BD=c.BD, NEED_POSITIVE_RANK=need_positive_rank, num_warps=c.num_warps,
                num_stages=c.num_stages,
            )  # fmt: skip
            if above is not None:
                torch.sum(above, 0, out=positive_rank)
            merge(partial, results, scale, shifted=False)
        else:
            for first, products in _products(features):
                rows = len(products)
                row_kernel[(triton.cdiv(rows, 4),)](
                    products, labels, *results, pair, positive_rank, first, rows, m, scale,
                    BM=4, BN=512, NEED_POSITIVE_RANK=need_positive_rank, num_warps=8,
                )  # fmt: skip
    return *results, positive_rank


def sup_con_backward(
    d_loss: Tensor,
    features: Tensor,
    labels: Tensor | None,
    top: Tensor,
    log_sum: Tensor,
    count: Tensor,
    temperature: float,
) -> Tensor:
    """Computes the gradient to the features, (M, D), in their dtype, from the gradients of the losses.

    `d_loss` is (M,), or () of the losses' mean.
    """
    features, labels = features.contiguous(), None if labels is None else labels.contiguous()
    m, d = features.shape
    if m == 0:
        return torch.empty_like(features)
    push, pull, shifted = (torch.empty_like(top) for _ in range(3))
    numbers = top.new_empty(2)
    scale = LOG2_E / temperature
    with torch.cuda.device_of(features):
        prepare_kernel[(triton.cdiv(m, PREPARE_BM),)](
            d_loss.contiguous(), count, top, log_sum, push, pull, shifted, numbers, m, scale,
            BM=PREPARE_BM, MEAN=d_loss.ndim == 0, num_warps=PREPARE_WARPS,
        )  # fmt: skip
        rows = top, push, pull
        if not is_resident(features):
            return _wide_gradient(features, labels, rows, numbers[0] / temperature, scale)
        c = _config(features, labels, backward=True)
        splits = triton.cdiv(m, c.split_rows)
        dz = torch.empty_like(features)
        parts = dz if splits == 1 else dz.new_empty((splits, m, d), dtype=torch.float32)
        gradient_kernel[(triton.cdiv(m, c.BM), splits)](
            features, labels, *rows, shifted, numbers, parts, m, d, c.split_rows, scale, 1 / temperature,
            BM=c.BM, BN=c.BN, BD=c.BD, WHOLE=c.WHOLE, num_warps=c.num_warps, num_stages=c.num_stages,
            maxnreg=c.maxnreg,
        )  # fmt: skip
        if splits > 1:
            bs, be = sum_config(splits)
            sum_kernel[(triton.cdiv(m * d, be),)](parts, dz, m * d, splits, BS=bs, BE=be, num_warps=4)
        return dz


def _wide_gradient(
    features: Tensor, labels: Tensor | None, rows: tuple[Tensor, ...], factor: Tensor, scale: float
) -> Tensor:
    m, dz = len(features), torch.empty_like(features)
    for first, products in _products(features):
        count, weights = len(products), torch.empty_like(products, dtype=features.dtype)
        weight_kernel[(triton.cdiv(count, 16), triton.cdiv(m, 128))](
            products, weights, labels, *rows, first, count, m, scale, BM=16, BN=128, num_warps=4
        )
        dz[first : first + count] = matmul(weights, features) * factor
    return dz


def _products(features: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yields blocks of s, (rows, M) in fp32, each after its first row's number."""
    rows = max(1, BLOCK_ELEMENTS // len(features))
    for first in range(0, len(features), rows):
        yield first, matmul(features[first : first + rows], features.T)
