"""Nearest-neighbor lookup in Triton.

With s_ij = q_i.n_j / |n_j|, whose order over j is that of the cosine, a candidate is one 64-bit number, a key:
s_ij, its bits put in the order of whole numbers, above the complement of j. No two keys are equal, and the larger
is the better: by its s_ij, then by its lower j. So the k best of any candidates are a set that does not depend on
the order in which they are seen.

`length_kernel` gives 1 / |n_j|, unless the queue is known to be normalized. `partial_kernel` takes a tile of
queries through a part of the queue and writes the part's best keys; `merge_kernel` takes the best of all parts.
Rows too wide for a tile, and fp32, go through `_blockwise`: torch's matrix product with one block of the queue
after another, `select_kernel` after each.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BN, BK] are shapes.
"""

import functools
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.common import tma
from sslfast.kernels.common.launch import (
    SHARED_MEMORY,
    matmul,
    part_length,
    processors,
    shared_memory,
)

NO_KEY = tl.constexpr(-(2**63))  # below every candidate's
MAX_RESIDENT_D = 512  # wider tiles of queries do not fit into shared memory
MAX_SMALL_D = 128  # the same where a block has less than SHARED_MEMORY
BLOCK_ELEMENTS = 2**22  # of products that `_blockwise` aims at a time: in blocks of 1024 to 16384 rows


class NearestNeighborConfig(NamedTuple):
    """The cut of `partial_kernel`. BN, BK: rows of query and queue a tile; BD: columns, a power of two."""

    BN: int
    BK: int
    BD: int
    split_rows: int  # rows of the queue a part
    num_warps: int
    num_stages: int


def choose_config(shape: tuple[int, int, int], top: int, processors: int) -> NearestNeighborConfig:
    """Chooses the configuration for (N, K, D) in fp16 or bf16: tiles that fit, and work for every processor."""
    n, k, d = shape
    bd = max(16, triton.next_power_of_2(d))
    bn, bk = (128, 64) if bd <= 256 else (64, 32)
    if top > 1:  # lists to keep: two blocks on a processor, so that one multiplies while the other one sorts
        bn, bk = 64, min(32, 8192 // bd)
    bn = min(bn, max(64, triton.next_power_of_2(n)))  # 64: what Hopper's matrix unit takes at least
    split_rows = part_length(k, bk, triton.cdiv(n, bn), processors)
    return NearestNeighborConfig(bn, bk, bd, split_rows, num_warps=bn // 16, num_stages=3)


def choose_tma_config(shape: tuple[int, int, int], processors: int, hopper: bool) -> NearestNeighborConfig:
    """Chooses the configuration of the kernel with TMA for (N, K, D), D <= tma.MAX_D, on Hopper or Blackwell."""
    n, k, d = shape
    bd = max(16, triton.next_power_of_2(d))
    bk = 128 if hopper and bd <= 128 else 64
    split_rows = part_length(k, bk, triton.cdiv(n, 128), processors)
    return NearestNeighborConfig(128, bk, bd, split_rows, num_warps=4 if hopper else 8, num_stages=3)


@triton.jit
def _keys(b_s, o_k):
    """Returns the keys of candidates, NaN among them as -infinity."""
    b_s = tl.where(b_s == b_s, b_s, float("-inf"))
    b_bits = b_s.to(tl.int32, bitcast=True)
    b_order = tl.where(b_bits < 0, b_bits ^ 0x7FFFFFFF, b_bits)
    return (b_order.to(tl.int64) << 32) | (0xFFFFFFFF - o_k.to(tl.int64))


@triton.jit
def _index(key):
    return 0xFFFFFFFF - (key & 0xFFFFFFFF)


@triton.jit
def _similarity(key):
    """Returns the product s of a key; NaN for -infinity."""
    order = (key >> 32).to(tl.int32)
    s = tl.where(order < 0, order ^ 0x7FFFFFFF, order).to(tl.float32, bitcast=True)
    return tl.where(s == float("-inf"), float("nan"), s)


@triton.jit
def insert(b_list, b_keys):
    """Merges the best of a list of keys, [BN, TOP], and of new ones, [BN, BK]."""
    b_new, b_worst = tl.max(b_keys, 1), tl.min(b_list, 1)
    while tl.max((b_new > b_worst).to(tl.int32), 0) > 0:
        replaced = (b_list == b_worst[:, None]) & (b_new > b_worst)[:, None]
        b_list = tl.where(replaced, b_new[:, None], b_list)
        b_keys = tl.where(b_keys == b_new[:, None], NO_KEY, b_keys)
        b_new, b_worst = tl.max(b_keys, 1), tl.min(b_list, 1)
    return b_list


@triton.jit
def length_kernel(
    p_rows,  # [R, D]
    p_inverse,  # [R] out: 1 / |row|; 0 for zeros, NaN for a row with NaN or infinity
    R,
    D,
    BR: tl.constexpr,
    BD: tl.constexpr,
):
    o_r = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    m_r = o_r < R
    b_square = tl.zeros([BR, BD], tl.float32)
    for start in range(0, D, BD):
        o_d = start + tl.arange(0, BD)
        mask = m_r[:, None] & (o_d < D)[None, :]
        b_x = tl.load(p_rows + o_r[:, None] * D + o_d[None, :], mask=mask, other=0.0).to(tl.float32)
        b_square += b_x * b_x
    b_square = tl.sum(b_square, 1)
    b_inverse = tl.where(b_square > 0, 1.0 / tl.sqrt(b_square), b_square)  # NaN and 0 stay what they are
    b_inverse = tl.where(b_square == float("inf"), float("nan"), b_inverse)
    tl.store(p_inverse + o_r, b_inverse, mask=m_r)


@triton.jit
def partial_kernel(
    p_query,  # [N, D]
    p_queue,  # [K, D]
    p_inverse,  # [K]: 1 / |n_j|; None: 1
    p_keys,  # [splits, N, TOP] out: the part's best, in any order
    N,
    K,
    D,
    split_rows,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BD: tl.constexpr,
    TOP: tl.constexpr,  # a power of two; with TMA 1
    TMA: tl.constexpr,  # which copies tiles, asked by warps that do nothing else; see common/tma.py
    WHOLE: tl.constexpr,  # K is a multiple of BK
):
    i_n, i_split = tl.program_id(0), tl.program_id(1).to(tl.int64)
    o_n = i_n * BN + tl.arange(0, BN)
    o_d = tl.arange(0, BD)
    m_n, m_d = o_n < N, o_d < D
    o_query = o_n.to(tl.int64)[:, None] * D + o_d[None, :]  # [BN, BD]
    if TMA:
        tiles = tl.make_tensor_descriptor(p_queue, [K, D], [D, 1], [BK, BD])
        b_query = tl.make_tensor_descriptor(p_query, [N, D], [D, 1], [BN, BD]).load([i_n * BN, 0])
    else:
        b_query = tl.load(p_query + o_query, mask=m_n[:, None] & m_d[None, :], other=0.0)

    first = i_split * split_rows
    rows = tl.minimum(split_rows, K - first).to(tl.int32)
    if TOP == 1:
        # Each place of the tile keeps its own best; one look over all of them comes at the end.
        b_best = tl.full([BN, BK], float("-inf"), tl.float32)
        b_start = tl.zeros([BN, BK], tl.int32)
    else:
        o_top = tl.arange(0, TOP)
        b_list = tl.full([BN, TOP], NO_KEY, tl.int64) + o_top[None, :]  # unequal, so that one can be replaced
    for start in tl.range(0, rows, BK, warp_specialize=TMA):
        o_part = start + tl.arange(0, BK)
        o_k = first + o_part
        m_k = o_part < rows
        if TMA:
            b_queue = tiles.load([(first + start).to(tl.int32), 0])  # [BK, BD]
            if p_inverse is not None:  # before the product, which hides how long it takes
                b_inverse = tl.load(p_inverse + o_k, mask=m_k, other=float("nan"))
        else:
            o_queue = o_k[:, None] * D + o_d[None, :]
            b_queue = tl.load(p_queue + o_queue, mask=m_k[:, None] & m_d[None, :], other=0.0)
        b_s = tl.dot(b_query, tl.trans(b_queue))  # [BN, BK]
        if p_inverse is None:
            if not WHOLE:
                b_s = tl.where(m_k[None, :], b_s, float("-inf"))
        elif TMA:
            b_s *= b_inverse[None, :]
        else:
            b_s *= tl.load(p_inverse + o_k, mask=m_k, other=float("nan"))[None, :]
        if TOP == 1:
            better = b_s > b_best  # false for NaN
            b_best = tl.where(better, b_s, b_best)
            b_start = tl.where(better, start, b_start)
        else:
            b_keys = tl.where(m_k[None, :], _keys(b_s, o_k[None, :]), NO_KEY)
            # `insert` would find that out: but of a loop directly around another one Triton makes no pipeline. All
            # candidates are asked, not rows: that Triton 3.6 cannot compile with products in tensor memory.
            if tl.max((b_keys > tl.min(b_list, 1)[:, None]).to(tl.int32)) > 0:
                b_list = insert(b_list, b_keys)
    o_out = (i_split * N + o_n) * TOP
    if TOP == 1:
        # Where there is only NaN, the lowest of the -infinities wins, which is the part's first row.
        b_keys = _keys(b_best, first + b_start + tl.arange(0, BK)[None, :])
        tl.store(p_keys + o_out, tl.max(b_keys, 1), mask=m_n)
    else:
        tl.store(p_keys + o_out[:, None] + o_top[None, :], b_list, mask=m_n[:, None])


@triton.jit
def select_kernel(
    p_products,  # [N, C]: q_i.n_j of a block of the queue
    p_inverse,  # [C]: 1 / |n_j|; None: 1
    p_keys,  # [N, TOP] in and out: the best so far
    first,  # row of the queue that the block begins with
    overlap,  # columns of the block that the block before it had too
    C,
    BC: tl.constexpr,
    TOP: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_c = tl.arange(0, BC)
    m_c = (o_c >= overlap) & (o_c < C)
    b_s = tl.load(p_products + i_n * C + o_c, mask=m_c, other=0.0)
    if p_inverse is not None:
        b_s *= tl.load(p_inverse + o_c, mask=m_c, other=0.0)
    b_keys = tl.where(m_c, _keys(b_s, first + o_c), NO_KEY)
    p_best = p_keys + i_n * TOP + tl.arange(0, TOP)
    b_old = tl.load(p_best)
    b_list = b_old
    for place in tl.static_range(TOP):
        key = tl.maximum(tl.max(b_keys, 0), tl.max(b_old, 0))
        b_list = tl.where(tl.arange(0, TOP) == place, key, b_list)
        b_keys = tl.where(b_keys == key, NO_KEY, b_keys)
        b_old = tl.where(b_old == key, NO_KEY, b_old)
    tl.store(p_best, b_list)


@triton.jit
def merge_kernel(
    p_keys,  # [splits, N, TOP]
    p_inverse,  # [N]: 1 / |q_i|
    p_indices,  # [N, k] out
    p_similarity,  # [N, k] out
    N,
    k,
    splits,
    BS: tl.constexpr,
    TOP: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_s, o_top = tl.arange(0, BS).to(tl.int64)[:, None], tl.arange(0, TOP)[None, :]
    b_keys = tl.load(p_keys + (o_s * N + i_n) * TOP + o_top, mask=o_s < splits, other=NO_KEY)  # [BS, TOP]
    inverse = tl.load(p_inverse + i_n)
    for place in range(k):
        key = tl.max(b_keys)
        b_keys = tl.where(b_keys == key, NO_KEY, b_keys)
        index = tl.where(inverse == inverse, _index(key), place)  # a query with NaN finds the first rows
        tl.store(p_indices + i_n * k + place, index)
        tl.store(p_similarity + i_n * k + place, _similarity(key) * inverse)


def nearest_neighbor(query: Tensor, queue: Tensor, k: int, normalized: bool) -> tuple[Tensor, Tensor]:
    """Finds indices in the queue and similarities, both (N, k), by falling similarity."""
    return _compute(query, queue, k, normalized, with_tma=False)


def nearest_neighbor_tma(query: Tensor, queue: Tensor, k: int, normalized: bool) -> tuple[Tensor, Tensor]:
    """Finds what `nearest_neighbor` does for k = 1, with tiles copied by TMA in a specialized loop."""
    if k != 1:
        raise RuntimeError(
            "nearest_neighbor: impl='triton_tma' is not available: it finds one row for each query, "
            f"got k = {k}; use impl='triton'"
        )
    tma.check_width("nearest_neighbor", query.shape[1])
    return _compute(query, queue, k, normalized, with_tma=True)


def _compute(query: Tensor, queue: Tensor, k: int, normalized: bool, with_tma: bool) -> tuple[Tensor, Tensor]:
    query, queue = query.contiguous(), queue.contiguous()
    n, d = query.shape
    indices = query.new_empty((n, k), dtype=torch.int64)
    similarity = query.new_empty((n, k), dtype=torch.float32)
    if n == 0:
        return indices, similarity
    widest = MAX_RESIDENT_D if shared_memory(query) >= SHARED_MEMORY else MAX_SMALL_D
    resident = d <= widest and query.dtype != torch.float32
    top = triton.next_power_of_2(k)
    with torch.cuda.device_of(query):
        inverse = None if normalized else _inverse_lengths(queue)
        if with_tma or resident:
            keys = _resident(query, queue, inverse, top, with_tma)
        else:
            keys = _blockwise(query, queue, inverse, top)
        merge_kernel[(n,)](
            keys, _inverse_lengths(query), indices, similarity, n, k, len(keys),
            BS=triton.next_power_of_2(len(keys)), TOP=top, num_warps=1,
        )  # fmt: skip
    return indices, similarity


def _inverse_lengths(rows: Tensor) -> Tensor:
    """Computes 1 / |row| of each row, fp32."""
    count, d = rows.shape
    inverse = rows.new_empty(count, dtype=torch.float32)
    block = min(512, max(16, triton.next_power_of_2(d)))
    br = 4096 // block
    length_kernel[(triton.cdiv(count, br),)](rows, inverse, count, d, BR=br, BD=block, num_warps=4)
    return inverse


# Both return keys, [splits, N, TOP]; TOP is k, or the next power of two.


def _resident(query: Tensor, queue: Tensor, inverse: Tensor | None, top: int, with_tma: bool) -> Tensor:
    (n, d), k = query.shape, len(queue)
    if with_tma:
        query, queue = tma.aligned(query), tma.aligned(queue)
        c = choose_tma_config((n, k, d), processors(query), tma.is_hopper(query))
    else:
        c = choose_config((n, k, d), top, processors(query))
    splits = triton.cdiv(k, c.split_rows)
    keys = query.new_empty((splits, n, top), dtype=torch.int64)
    kernel = partial_kernel[(triton.cdiv(n, c.BN), splits)]
    launch = functools.partial(tma.launch, kernel) if with_tma else kernel
    launch(
        query, queue, inverse, keys, n, k, d, c.split_rows, BN=c.BN, BK=c.BK, BD=c.BD, TOP=top, TMA=with_tma,
        WHOLE=with_tma and k % c.BK == 0, num_warps=c.num_warps, num_stages=c.num_stages,
    )  # fmt: skip
    return keys


def _blockwise(query: Tensor, queue: Tensor, inverse: Tensor | None, top: int) -> Tensor:
    keys = query.new_full((1, len(query), top), NO_KEY.value, dtype=torch.int64)
    rows = max(1024, min(16384, triton.next_power_of_2(BLOCK_ELEMENTS // len(query))))
    rows = min(rows, len(queue))
    for start in range(0, len(queue), rows):
        # The last block starts early: in products of one shape equal rows round equally.
        first = min(start, len(queue) - rows)
        select_kernel[(len(query),)](
            matmul(query, queue[first : first + rows].T), None if inverse is None else inverse[first:], keys,
            first, start - first, rows,
            BC=triton.next_power_of_2(rows), TOP=top, num_warps=8,
        )  # fmt: skip
    return keys
