"""The products of rows with their positives in Triton, above which a pass over the negatives counts."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def positive_kernel(
    p_rows,  # [N, D]
    p_positives,  # [P, D]
    p_products,  # [N] out
    P,
    D,
    BD: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_d = tl.arange(0, BD)
    b_row = tl.load(p_rows + i_n * D + o_d, mask=o_d < D, other=0.0).to(tl.float32)  # [BD]
    b_positive = tl.load(p_positives + i_n % P * D + o_d, mask=o_d < D, other=0.0).to(tl.float32)
    tl.store(p_products + i_n, tl.sum(b_row * b_positive))


def positive_products(rows: Tensor, positives: Tensor) -> Tensor:
    """Multiplies row i of (N, D) with positive i % P of (P, D), both contiguous: (N,) in fp32."""
    (n, d), block = rows.shape, triton.next_power_of_2(rows.shape[1])
    products = rows.new_empty(n, dtype=torch.float32)
    num_warps = max(1, min(8, block // 128))
    positive_kernel[(n,)](rows, positives, products, len(positives), d, BD=block, num_warps=num_warps)
    return products
