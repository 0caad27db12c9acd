"""The queue's update in Triton: one launch that reads the pointer and moves it.

Every program needs the old pointer, and one must write the new one after all have read. The pointer's upper bits
count them: a program reads by adding PROGRAM = 2^40 to it, and the one that finds all others counted writes the
new value. The result does not depend on their order. A pointer from -2^39 to 2^39 is taken modulo K: no row lies
outside of the queue.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BN, BD] are shapes.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

PROGRAM = tl.constexpr(1 << 40)
BN, BD = 16, 128


@triton.jit
def enqueue_kernel(
    p_queue,  # [K, D] in and out
    p_keys,  # [N, D]
    p_pointer,  # [] int64, in and out
    p_skip,  # [] bool
    K,
    D,
    N,
    HAS_SKIP: tl.constexpr,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    if HAS_SKIP:  # noqa: SIM102 (`and` would load without a flag)
        if tl.load(p_skip) != 0:
            return
    counting = tl.atomic_add(p_pointer, PROGRAM)
    programs = (counting + (1 << 39)) >> 40  # those that have read before
    pointer = ((counting - programs * PROGRAM) % K + K) % K
    if programs == tl.num_programs(0) - 1:
        tl.store(p_pointer, (pointer + N) % K)

    o_n = tl.program_id(0) * BN + tl.arange(0, BN)
    o_row = (pointer + o_n) % K  # [BN] int64
    for start in range(0, D, BD):
        o_d = start + tl.arange(0, BD)
        m = (o_n < N)[:, None] & (o_d < D)[None, :]  # [BN, BD]
        b_keys = tl.load(p_keys + o_n.to(tl.int64)[:, None] * D + o_d[None, :], mask=m)
        tl.store(p_queue + o_row[:, None] * D + o_d[None, :], b_keys.to(p_queue.dtype.element_ty), mask=m)


def enqueue_(queue: Tensor, keys: Tensor, pointer: Tensor, skip: Tensor | None) -> None:
    """Puts the keys into the rows from `pointer` on, and moves it past them."""
    n, d = keys.shape
    if n == 0:
        return
    rows = queue.detach().contiguous()  # autograd is not to hear of it
    with torch.cuda.device_of(queue):
        enqueue_kernel[(triton.cdiv(n, BN),)](
            rows, keys.detach().contiguous(), pointer, pointer if skip is None else skip, len(queue), d, n,
            HAS_SKIP=skip is not None, BN=BN, BD=BD, num_warps=4,
        )  # fmt: skip
    if not queue.is_contiguous():
        queue.detach().copy_(rows)
