"""The launches of NT-Xent's Triton kernels: its own for large batches of narrow rows, else those of sup_con."""

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from sslfast.kernels.common.launch import LOG2_E, has_tensor_memory, has_warpgroups, part_length, processors
from sslfast.kernels.common.positives import positive_products
from sslfast.kernels.nt_xent.triton_kernels import rank_kernel, tile_kernel
from sslfast.kernels.sup_con import triton_launch as sup_con

MAX_D = 128  # wider tiles leave no room for a second block on a processor
# Below, there is a tile or less for each place on the GPU; above, what tiles leave for each row takes gigabytes.
MIN_M, MAX_M = 2048, 32768
BM = 64
MERGE_BS, MERGE_BM = 16, 32  # parts and rows that `rank_kernel` adds at a time


class NTXentConfig(NamedTuple):
    """The cut of `tile_kernel` over tiles. BM: anchors, and other rows, a tile; BD: columns, a power of two."""

    BM: int
    BD: int
    split_turns: int  # tiles a part
    num_warps: int
    num_stages: int
    blocks: int  # on a processor at the same time, where a block may have SHARED_MEMORY


def choose_config(m: int, d: int, processors: int, warpgroups: bool) -> NTXentConfig:
    """Chooses the configuration for (M, D) in fp16 or bf16; the arguments are those of sup_con's."""
    bd = max(16, triton.next_power_of_2(d))
    num_warps, blocks = (4, 2) if warpgroups else (8, 1)
    rows = triton.cdiv(m, BM)
    turns = rows // 2 + 1
    split_turns = part_length(turns, 1, rows, blocks * processors)
    return NTXentConfig(BM, bd, split_turns, num_warps, num_stages=3, blocks=blocks)


def nt_xent(features: Tensor, temperature: float, mean: bool, need_positive_rank: bool) -> tuple[Tensor, ...]:
    """Computes what `sup_con` does for the pairs of rows i and i + M / 2, and their positive ranks.

    These are int64, (M,) if asked for, else (0,). Of the losses it returns the mean, if that is asked for.
    """
    m, d = features.shape
    narrow = sup_con.is_resident(features) and d <= MAX_D
    # In tensor memory a tile's products come a row a thread: then its kept sums do not fit in registers.
    halved = narrow and MIN_M <= m <= MAX_M and not has_tensor_memory(features)
    forward = _forward if halved else sup_con.forward_of_pairs
    losses, *others = forward(features.contiguous(), temperature, need_positive_rank)
    return losses.mean() if mean else losses, *others


def _forward(features: Tensor, temperature: float, need_positive_rank: bool) -> tuple[Tensor, ...]:
    (m, d), scale = features.shape, LOG2_E / temperature
    c = choose_config(m, d, processors(features), has_warpgroups(features))
    rows = triton.cdiv(m, c.BM)
    splits = triton.cdiv(rows // 2 + 1, c.split_turns)
    parts = splits + (rows - 1) // 2
    top, total = features.new_empty((2, parts, m), dtype=torch.float32)
    positive = features.new_empty((1, m), dtype=torch.float64)
    count = features.new_empty((1, m), dtype=torch.float32)
    results = [features.new_empty(m, dtype=torch.float32) for _ in range(4)]
    positive_rank = features.new_empty(m if need_positive_rank else 0, dtype=torch.int64)
    with torch.cuda.device_of(features):
        pair = positive_products(features[: m // 2], features[m // 2 :]) if need_positive_rank else None
        above = features.new_empty((parts, m), dtype=torch.int32) if need_positive_rank else None
        tile_kernel[(rows, splits)](
            features, top, total, positive, count, pair, above, m, d, c.split_turns, scale,
            BM=c.BM, BD=c.BD, NEED_POSITIVE_RANK=need_positive_rank, num_warps=c.num_warps,
            num_stages=c.num_stages,
        )  # fmt: skip
        if above is not None:
            rank_kernel[(triton.cdiv(m, MERGE_BM),)](
                above, positive, pair, positive_rank, m, parts, BS=MERGE_BS, BM=MERGE_BM, num_warps=4
            )
        sup_con.merge((top, total, positive, count), results, scale, shifted=True)
    return *results, positive_rank
