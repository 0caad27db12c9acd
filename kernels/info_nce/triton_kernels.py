"""InfoNCE with a queue in Triton: the pass of common/streaming.py over the queue, merged with the positives.

That pass has two forms, which differ in how tiles are copied: `info_nce` and `info_nce_tma`.

Rows too wide for an accumulator in registers or for the GPU's shared memory, and fp32, whose exact products leave
no room for one, go through `_blockwise`: the same pass with two of torch's matrix products a block of the queue.
The second one adds to the accumulator, of which `power_kernel` scales the rows whose maximum has grown.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.common import streaming, tma
from sslfast.kernels.common.launch import LOG2_E, LOWEST, add_matmul, matmul
from sslfast.kernels.common.positives import positive_products

BLOCK_ELEMENTS = 2**22  # of products that `_blockwise` aims at a time: in blocks of 1024 to 16384 keys
POWER_BD = 2048  # columns of an accumulator that `power_kernel` scales at a time


@triton.jit
def power_kernel(
    p_products,  # [N, C]: s_ij of a block of the queue
    p_powers,  # [N, C] out: 2^(c (s_ij - max))
    p_max,  # [N] in and out: the maximum so far
    p_sum,  # [N] in and out
    p_acc,  # [N, D] in and out, with NEED_DQ: sum_j 2^(c (s_ij - max)) k_j over the blocks before this one
    p_positive,  # [N], with NEED_POSITIVE_RANK: s_i
    p_above,  # [N] in and out, with NEED_POSITIVE_RANK: how many s_ij so far are greater than s_i
    C,
    D,
    scale,  # c
    BC: tl.constexpr,
    BD: tl.constexpr,  # columns of the accumulator at a time
    NEED_DQ: tl.constexpr,
    NEED_POSITIVE_RANK: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_c = tl.arange(0, BC)
    m_c = o_c < C
    b_s = tl.load(p_products + i_n * C + o_c, mask=m_c, other=float("-inf"))  # [BC]
    old_max = tl.load(p_max + i_n)
    new_max = tl.maximum(old_max, tl.max(b_s, 0))
    decay = tl.exp2((old_max - new_max) * scale)
    b_e = tl.exp2((b_s - new_max) * scale)
    tl.store(p_max + i_n, new_max)
    tl.store(p_sum + i_n, tl.load(p_sum + i_n) * decay + tl.sum(b_e, 0))
    if NEED_POSITIVE_RANK:
        above = tl.sum((b_s > tl.load(p_positive + i_n)).to(tl.int32), 0)
        tl.store(p_above + i_n, tl.load(p_above + i_n) + above)
    if NEED_DQ:
        if decay != 1:
            for start in range(0, D, BD):
                o_acc = start + tl.arange(0, BD)
                p_row = p_acc + i_n * D + o_acc
                tl.store(p_row, tl.load(p_row, mask=o_acc < D, other=0.0) * decay, mask=o_acc < D)
        tl.store(p_powers + i_n * C + o_c, b_e.to(p_powers.dtype.element_ty), mask=m_c)


def info_nce(
    query: Tensor, positive: Tensor, queue: Tensor, temperature: float, need_dq: bool, need_positive_rank: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes losses (N,), fp32, and if asked for their gradients to the query and the positive ranks.

    The gradients are (N, D), fp32, else (0, D); the ranks (N,), int64, else (0,).
    """
    return _compute(query, positive, queue, temperature, need_dq, need_positive_rank, with_tma=False)


def info_nce_tma(
    query: Tensor, positive: Tensor, queue: Tensor, temperature: float, need_dq: bool, need_positive_rank: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes what `info_nce` does, with tiles of the queue copied by TMA in a specialized loop."""
    tma.check_width("info_nce", query.shape[1])
    return _compute(query, positive, queue, temperature, need_dq, need_positive_rank, with_tma=True)


def _compute(
    query: Tensor, positive: Tensor, queue: Tensor, temperature: float, need_dq: bool, need_positive_rank: bool,
    with_tma: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    query, positive, queue = query.contiguous(), positive.contiguous(), queue.contiguous()
    n, d = query.shape
    loss = query.new_empty(n, dtype=torch.float32)
    dq = query.new_empty((n if need_dq else 0, d), dtype=torch.float32)
    positive_rank = query.new_empty(n if need_positive_rank else 0, dtype=torch.int64)
    if n == 0:
        return loss, dq, positive_rank
    scale = LOG2_E / temperature
    with torch.cuda.device_of(query):
        products = positive_products(query, positive) if need_positive_rank else None
        if with_tma or streaming.is_resident(query):
            parts = streaming.gather(query, queue, None, scale, need_dq, products, with_tma)
        else:
            parts = _blockwise(query, queue, scale, need_dq, products)
        streaming.merge(query, positive, None, parts, temperature, loss, dq, loss[:0], positive_rank)
    return loss, dq, positive_rank


def _blockwise(
    query: Tensor, queue: Tensor, scale: float, need_dq: bool, positive: Tensor | None
) -> streaming.Sums:
    n, d = query.shape
    maxima = query.new_full((1, n), LOWEST.value, dtype=torch.float32)
    sums = torch.zeros_like(maxima)
    acc = query.new_zeros((1 if need_dq else 0, n, d), dtype=torch.float32)
    above = None if positive is None else torch.zeros_like(maxima, dtype=torch.int32)
    rows = max(1024, min(16384, triton.next_power_of_2(BLOCK_ELEMENTS // n)))
    for block in queue.split(rows) if len(queue) else ():
        products = matmul(query, block.T)
        powers = query.new_empty(products.shape if need_dq else (0, 0))
        power_kernel[(n,)](
            products, powers, maxima, sums, acc, positive, above, len(block), d, scale,
            BC=triton.next_power_of_2(len(block)), BD=POWER_BD, NEED_DQ=need_dq,
            NEED_POSITIVE_RANK=positive is not None, num_warps=8,
        )  # fmt: skip
        if need_dq:
            add_matmul(acc[0], powers, block)
    return streaming.Sums(maxima, sums, acc, above)
