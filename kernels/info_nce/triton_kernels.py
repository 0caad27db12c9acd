"""InfoNCE with a queue in Triton.

With s_ij = q_i.n_j log2(e)/t and s_i = q_i.k_i log2(e)/t, and Z_i = 2^s_i + sum_j 2^s_ij:

    loss_i = ln 2 (log2 Z_i - s_i)
    dq_i = ((sum_j 2^s_ij n_j + 2^s_i k_i) / Z_i - k_i) / t
         = (sum_j 2^s_ij n_j - (sum_j 2^s_ij) k_i) / (Z_i t)

which is an attention forward pass with the queue as keys and as values. `partial_kernel` makes one pass over
a part of the queue and writes the part's maximum, sum and weighted sum of keys; `merge_kernel` adds the parts
in a fixed order, so that results are the same bits each time, and puts in the positive. Rows too wide for an
accumulator in registers or for the GPU's shared memory, and fp32, whose exact products leave no room for one, go
through `_blockwise`: the same pass with two of torch's matrix products a block of the queue.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BN, BD] are shapes.
"""

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

LOG2_E = math.log2(math.e)
LOWEST = tl.constexpr(-3e38)  # below every s_ij; finite, so that a row of -inf gives 0 and not inf - inf
MAX_RESIDENT_D = 512  # wider accumulators spill
MAX_SMALL_D = 128  # the same where a block has less than SHARED_MEMORY: the 99 KiB of GPUs for consumers
SHARED_MEMORY = 160 * 1024  # bytes; A100 has 163 KiB, Hopper and Blackwell have 227
BLOCK_ELEMENTS = 2**22  # of products that `_blockwise` aims at a time: in blocks of 1024 to 16384 keys


class Config(NamedTuple):
    """How `partial_kernel` runs. BN, BK: rows of query and queue a tile; BD: columns, a power of two."""

    BN: int
    BK: int
    BD: int
    split_rows: int  # rows of the queue a part
    num_warps: int
    num_stages: int


def config(shape: tuple[int, int, int], processors: int) -> Config:
    """The configuration for (N, K, D) in fp16 or bf16: tiles that fit, and work for every processor."""
    n, k, d = shape
    bd = max(16, triton.next_power_of_2(d))
    bn, bk = {256: (128, 64), 512: (64, 32)}.get(bd, (128, 128))
    bn = min(bn, max(64, triton.next_power_of_2(n)))  # 64: what Hopper's matrix unit takes at least
    wanted = max(1, processors // triton.cdiv(n, bn))
    split_rows = triton.cdiv(triton.cdiv(k, wanted), bk) * bk
    return Config(bn, bk, bd, split_rows, num_warps=8, num_stages=2)


@triton.jit
def partial_kernel(
    p_query,  # [N, D]
    p_queue,  # [K, D]
    p_max,  # [splits, N] out: max_j s_ij over the part
    p_sum,  # [splits, N] out: sum_j 2^(s_ij - max)
    p_acc,  # [splits, N, D] out: sum_j 2^(s_ij - max) n_j
    N,
    K,
    D,
    split_rows,
    scale,  # log2(e) / t
    BN: tl.constexpr,
    BK: tl.constexpr,
    BD: tl.constexpr,
    NEED_DQ: tl.constexpr,
):
    i_n, i_split = tl.program_id(0), tl.program_id(1)
    o_n = i_n * BN + tl.arange(0, BN)
    o_d = tl.arange(0, BD)
    m_n, m_d = o_n < N, o_d < D
    o_query = o_n.to(tl.int64)[:, None] * D + o_d[None, :]  # [BN, BD]
    m_query = m_n[:, None] & m_d[None, :]
    b_query = tl.load(p_query + o_query, mask=m_query, other=0.0)

    b_max = tl.full([BN], LOWEST, tl.float32)
    b_sum = tl.zeros([BN], tl.float32)
    b_acc = tl.zeros([BN, BD], tl.float32)
    first = i_split * split_rows
    for start in range(first, min(first + split_rows, K), BK):
        o_k = start + tl.arange(0, BK)
        o_queue = o_k.to(tl.int64)[:, None] * D + o_d[None, :]  # [BK, BD]
        b_queue = tl.load(p_queue + o_queue, mask=(o_k < K)[:, None] & m_d[None, :], other=0.0)
        b_s = tl.dot(b_query, tl.trans(b_queue)) * scale  # [BN, BK]
        b_s = tl.where((o_k < K)[None, :], b_s, float("-inf"))
        b_new_max = tl.maximum(b_max, tl.max(b_s, 1))
        b_decay = tl.exp2(b_max - b_new_max)
        b_e = tl.exp2(b_s - b_new_max[:, None])
        b_sum = b_sum * b_decay + tl.sum(b_e, 1)
        b_max = b_new_max
        if NEED_DQ:
            b_acc = tl.dot(b_e.to(b_queue.dtype), b_queue, acc=b_acc * b_decay[:, None])
    o_out = i_split.to(tl.int64) * N + o_n
    tl.store(p_max + o_out, b_max, mask=m_n)
    tl.store(p_sum + o_out, b_sum, mask=m_n)
    if NEED_DQ:
        tl.store(p_acc + i_split.to(tl.int64) * N * D + o_query, b_acc, mask=m_query)


@triton.jit
def merge_kernel(
    p_query,  # [N, D]
    p_positive,  # [N, D]
    p_max,  # [splits, N]
    p_sum,  # [splits, N]
    p_acc,  # [splits, N, D]
    p_loss,  # [N] out
    p_dq,  # [N, D] out
    N,
    D,
    splits,
    scale,  # log2(e) / t
    inverse_t,
    BD: tl.constexpr,
    NEED_DQ: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_d = tl.arange(0, BD)
    m_d = o_d < D
    b_query = tl.load(p_query + i_n * D + o_d, mask=m_d, other=0.0).to(tl.float32)  # [BD]
    b_positive = tl.load(p_positive + i_n * D + o_d, mask=m_d, other=0.0).to(tl.float32)
    s_positive = tl.sum(b_query * b_positive) * scale

    top = s_positive
    for i_split in range(splits):
        top = tl.maximum(top, tl.load(p_max + i_split * N + i_n))
    negatives = tl.zeros([], tl.float32)  # sum_j 2^(s_ij - top)
    b_acc = tl.zeros([BD], tl.float32)
    for i_split in range(splits):
        o_part = i_split * N + i_n
        weight = tl.exp2(tl.load(p_max + o_part) - top)
        negatives += weight * tl.load(p_sum + o_part)
        if NEED_DQ:
            b_acc += weight * tl.load(p_acc + o_part * D + o_d, mask=m_d, other=0.0)
    z = negatives + tl.exp2(s_positive - top)
    tl.store(p_loss + i_n, (top - s_positive + tl.log2(z)) * 0.6931471805599453)
    if NEED_DQ:
        b_dq = (b_acc - negatives * b_positive) / z * inverse_t
        tl.store(p_dq + i_n * D + o_d, b_dq, mask=m_d)


@triton.jit
def power_kernel(
    p_products,  # [N, C]: q_i.n_j of a block of the queue
    p_powers,  # [N, C] out: 2^(s_ij - max)
    p_max,  # [N] in and out: the maximum so far
    p_sum,  # [N] in and out
    p_decay,  # [N] out: what this block's maximum scales earlier sums by
    C,
    scale,  # log2(e) / t
    BC: tl.constexpr,
    NEED_DQ: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_c = tl.arange(0, BC)
    m_c = o_c < C
    b_s = tl.load(p_products + i_n * C + o_c, mask=m_c, other=0.0).to(tl.float32) * scale  # [BC]
    b_s = tl.where(m_c, b_s, float("-inf"))
    old_max = tl.load(p_max + i_n)
    new_max = tl.maximum(old_max, tl.max(b_s, 0))
    decay = tl.exp2(old_max - new_max)
    b_e = tl.exp2(b_s - new_max)
    tl.store(p_max + i_n, new_max)
    tl.store(p_sum + i_n, tl.load(p_sum + i_n) * decay + tl.sum(b_e, 0))
    if NEED_DQ:
        tl.store(p_decay + i_n, decay)
        tl.store(p_powers + i_n * C + o_c, b_e.to(p_powers.dtype.element_ty), mask=m_c)


def info_nce(
    query: Tensor, positive: Tensor, queue: Tensor, temperature: float, need_dq: bool
) -> tuple[Tensor, Tensor]:
    """Losses (N,) and, if asked for, their gradients to the query (N, D), else (0, D); both fp32."""
    query, positive, queue = query.contiguous(), positive.contiguous(), queue.contiguous()
    n, d = query.shape
    loss = query.new_empty(n, dtype=torch.float32)
    dq = query.new_empty((n if need_dq else 0, d), dtype=torch.float32)
    if n == 0:
        return loss, dq
    scale = LOG2_E / temperature
    widest = MAX_RESIDENT_D if _shared_memory(query) >= SHARED_MEMORY else MAX_SMALL_D
    gather = _resident if d <= widest and query.dtype != torch.float32 else _blockwise
    with torch.cuda.device_of(query):
        maxima, sums, acc = gather(query, queue, scale, need_dq)
        block = triton.next_power_of_2(d)
        merge_kernel[(n,)](
            query, positive, maxima, sums, acc, loss, dq, n, d, len(maxima), scale, 1 / temperature,
            BD=block, NEED_DQ=need_dq, num_warps=max(1, min(8, block // 128)),
        )  # fmt: skip
    return loss, dq


# Both passes return [splits, N] maxima, [splits, N] sums and, if asked for, [splits, N, D] weighted sums of keys.


def _resident(query: Tensor, queue: Tensor, scale: float, need_dq: bool) -> tuple[Tensor, Tensor, Tensor]:
    (n, d), k = query.shape, len(queue)
    c = config((n, k, d), _processors(query))
    splits = triton.cdiv(k, c.split_rows) if k else 0
    maxima = query.new_empty((splits, n), dtype=torch.float32)
    sums = torch.empty_like(maxima)
    acc = query.new_empty((splits if need_dq else 0, n, d), dtype=torch.float32)
    if splits:
        partial_kernel[(triton.cdiv(n, c.BN), splits)](
            query, queue, maxima, sums, acc, n, k, d, c.split_rows, scale,
            BN=c.BN, BK=c.BK, BD=c.BD, NEED_DQ=need_dq, num_warps=c.num_warps, num_stages=c.num_stages,
        )  # fmt: skip
    return maxima, sums, acc


def _processors(tensor: Tensor) -> int:
    if tensor.is_cuda:
        return torch.cuda.get_device_properties(tensor.device).multi_processor_count
    return 4  # the interpreter: enough for parts to merge


def _shared_memory(tensor: Tensor) -> int:
    if tensor.is_cuda:
        properties = torch.cuda.get_device_properties(tensor.device)
        return properties.shared_memory_per_block_optin  # type: ignore[attr-defined]  # torch's stub lacks it
    return 2**20  # the interpreter: no limit


def _blockwise(query: Tensor, queue: Tensor, scale: float, need_dq: bool) -> tuple[Tensor, Tensor, Tensor]:
    n, d = query.shape
    maxima = query.new_full((1, n), LOWEST.value, dtype=torch.float32)
    sums = torch.zeros_like(maxima)
    decay = torch.empty_like(maxima)
    acc = query.new_zeros((1 if need_dq else 0, n, d), dtype=torch.float32)
    rows = max(1024, min(16384, triton.next_power_of_2(BLOCK_ELEMENTS // n)))
    for block in queue.split(rows) if len(queue) else ():
        products = _matmul(query, block.T)
        powers = query.new_empty(products.shape if need_dq else (0, 0))
        power_kernel[(n,)](
            products, powers, maxima, sums, decay, len(block), scale,
            BC=triton.next_power_of_2(len(block)), NEED_DQ=need_dq, num_warps=8,
        )  # fmt: skip
        if need_dq:
            acc[0].mul_(decay[0, :, None]).add_(_matmul(powers, block))
    return maxima, sums, acc


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, accumulated and returned in fp32."""
    with torch.autocast(a.device.type, enabled=False):
        if a.is_cuda and a.dtype != torch.float32:
            return torch.mm(a, b, out_dtype=torch.float32)
        return torch.mm(a.float(), b.float())
