"""The cross-correlation loss in Triton, its matrix products by torch.

With a, b the normalized views, S = a^T b, c = diag(S) / N, and <X, Y> the sum of the products of elements:

    loss = sum_i (1 - c_i)^2 + lambd (<S, S> / N^2 - sum_i c_i^2)
    <S, S> = <a a^T, b b^T>                                     (the smaller of the two is taken)
    d loss / d a = 2 lambd / N^2 (b S^T or b b^T a) + u b / N   with u_i = 2 (c_i - 1) - 2 lambd c_i

and normalization's gradient is (d - mean d - a mean(d a)) / sigma over the rows of each column. `normalize_kernel`
writes a, b and c; `squares_kernel` sums <X, Y> row by row; `gradient_kernel` finishes a product's columns.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BN, BD] are shapes.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.common.launch import matmul
from sslfast.kernels.cross_correlation_loss.reference import EPSILON

BN, BD = 64, 32  # rows and columns a tile: 128 bytes of a row of fp32
BC = 1024  # of a row whose squares are summed


@triton.jit
def normalize_kernel(
    p_z1,  # [N, D]
    p_z2,  # [N, D]
    p_a,  # [N, D] out
    p_b,  # [N, D] out
    p_mean,  # [2, D] out
    p_rstd,  # [2, D] out: 1 / sigma
    p_c,  # [D] out
    N,
    D,
    epsilon,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    o_d = tl.program_id(0) * BD + tl.arange(0, BD)
    o_n = tl.arange(0, BN)
    b_sum1 = tl.zeros([BN, BD], tl.float32)
    b_sum2 = tl.zeros([BN, BD], tl.float32)
    for start in range(0, N, BN):
        m = (start + o_n < N)[:, None] & (o_d < D)[None, :]
        o = (start + o_n).to(tl.int64)[:, None] * D + o_d[None, :]
        b_sum1 += tl.load(p_z1 + o, mask=m, other=0.0).to(tl.float32)
        b_sum2 += tl.load(p_z2 + o, mask=m, other=0.0).to(tl.float32)
    b_mean1 = tl.sum(b_sum1, 0) / N
    b_mean2 = tl.sum(b_sum2, 0) / N
    tl.store(p_mean + o_d, b_mean1, mask=o_d < D)
    tl.store(p_mean + D + o_d, b_mean2, mask=o_d < D)

    b_var1 = tl.zeros([BN, BD], tl.float32)
    b_var2 = tl.zeros([BN, BD], tl.float32)
    b_cov = tl.zeros([BN, BD], tl.float32)
    for start in range(0, N, BN):
        m = (start + o_n < N)[:, None] & (o_d < D)[None, :]
        o = (start + o_n).to(tl.int64)[:, None] * D + o_d[None, :]
        b_z1 = tl.where(m, tl.load(p_z1 + o, mask=m, other=0.0).to(tl.float32) - b_mean1[None, :], 0.0)
        b_z2 = tl.where(m, tl.load(p_z2 + o, mask=m, other=0.0).to(tl.float32) - b_mean2[None, :], 0.0)
        b_var1 += b_z1 * b_z1
        b_var2 += b_z2 * b_z2
        b_cov += b_z1 * b_z2
    b_rstd1 = 1 / tl.sqrt_rn(tl.sum(b_var1, 0) / N + epsilon)
    b_rstd2 = 1 / tl.sqrt_rn(tl.sum(b_var2, 0) / N + epsilon)
    tl.store(p_rstd + o_d, b_rstd1, mask=o_d < D)
    tl.store(p_rstd + D + o_d, b_rstd2, mask=o_d < D)
    tl.store(p_c + o_d, tl.sum(b_cov, 0) / N * b_rstd1 * b_rstd2, mask=o_d < D)

    for start in range(0, N, BN):
        m = (start + o_n < N)[:, None] & (o_d < D)[None, :]
        o = (start + o_n).to(tl.int64)[:, None] * D + o_d[None, :]
        b_z1 = (tl.load(p_z1 + o, mask=m, other=0.0).to(tl.float32) - b_mean1[None, :]) * b_rstd1[None, :]
        b_z2 = (tl.load(p_z2 + o, mask=m, other=0.0).to(tl.float32) - b_mean2[None, :]) * b_rstd2[None, :]
        tl.store(p_a + o, b_z1.to(p_a.dtype.element_ty), mask=m)
        tl.store(p_b + o, b_z2.to(p_b.dtype.element_ty), mask=m)


@triton.jit
def squares_kernel(
    p_x,  # [M, M]
    p_y,  # [M, M]
    p_sums,  # [M] out: of x * y over a row
    M,
    BC: tl.constexpr,
):
    i_m = tl.program_id(0).to(tl.int64)
    b_sum = tl.zeros([BC], tl.float32)
    for start in range(0, M, BC):
        o_c = start + tl.arange(0, BC)
        b_x = tl.load(p_x + i_m * M + o_c, mask=o_c < M, other=0.0)
        b_y = tl.load(p_y + i_m * M + o_c, mask=o_c < M, other=0.0)
        b_sum += b_x * b_y
    tl.store(p_sums + i_m, tl.sum(b_sum, 0))


@triton.jit
def gradient_kernel(
    p_dz,  # [N, D] in: the product; out: the gradient
    p_z,  # [N, D]: the view, not normalized: a and b are rounded, which would show in small gradients
    p_other,  # [N, D]: the other view, not normalized
    p_mean,  # [D]: of the view
    p_mean_other,  # [D]
    p_rstd,  # [D]
    p_rstd_other,  # [D]
    p_c,  # [D]
    N,
    D,
    scale,  # of the product
    lambd,
    BN: tl.constexpr,
    BD: tl.constexpr,
):
    o_d = tl.program_id(0) * BD + tl.arange(0, BD)
    o_n = tl.arange(0, BN)
    m_d = o_d < D
    b_c = tl.load(p_c + o_d, mask=m_d, other=0.0)
    b_u = (2 * (b_c - 1 - lambd * b_c) / N)[None, :]
    b_mean = tl.load(p_mean + o_d, mask=m_d, other=0.0)[None, :]
    b_mean_other = tl.load(p_mean_other + o_d, mask=m_d, other=0.0)[None, :]
    b_rstd = tl.load(p_rstd + o_d, mask=m_d, other=0.0)[None, :]
    b_rstd_other = tl.load(p_rstd_other + o_d, mask=m_d, other=0.0)[None, :]

    b_sum = tl.zeros([BN, BD], tl.float32)
    b_dot = tl.zeros([BN, BD], tl.float32)
    for start in range(0, N, BN):
        m = (start + o_n < N)[:, None] & m_d[None, :]
        o = (start + o_n).to(tl.int64)[:, None] * D + o_d[None, :]
        b_z = (tl.load(p_z + o, mask=m, other=0.0).to(tl.float32) - b_mean) * b_rstd
        b_other = (tl.load(p_other + o, mask=m, other=0.0).to(tl.float32) - b_mean_other) * b_rstd_other
        b_d = tl.where(m, scale * tl.load(p_dz + o, mask=m, other=0.0) + b_u * b_other, 0.0)
        tl.store(p_dz + o, b_d, mask=m)
        b_sum += b_d
        b_dot += b_d * b_z
    tl.debug_barrier()  # other threads may read what these have written
    b_d_mean = (tl.sum(b_sum, 0) / N)[None, :]
    b_along = (tl.sum(b_dot, 0) / N)[None, :]
    for start in range(0, N, BN):
        m = (start + o_n < N)[:, None] & m_d[None, :]
        o = (start + o_n).to(tl.int64)[:, None] * D + o_d[None, :]
        b_z = (tl.load(p_z + o, mask=m, other=0.0).to(tl.float32) - b_mean) * b_rstd
        b_d = tl.load(p_dz + o, mask=m, other=0.0)
        tl.store(p_dz + o, b_rstd * (b_d - b_d_mean - b_z * b_along), mask=m)


def cross_correlation_loss(
    z1: Tensor, z2: Tensor, lambd: float, need_dz1: bool, need_dz2: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes the loss and, if asked for, its gradients to the views (N, D), else (0, D); all fp32."""
    z1, z2 = z1.contiguous(), z2.contiguous()
    n, d = z1.shape
    a, b = torch.empty_like(z1), torch.empty_like(z2)
    mean, rstd = (z1.new_empty((2, d), dtype=torch.float32) for _ in range(2))
    c = z1.new_empty(d, dtype=torch.float32)
    grid = (triton.cdiv(d, BD),)
    with torch.cuda.device_of(z1):
        normalize_kernel[grid](z1, z2, a, b, mean, rstd, c, n, d, EPSILON, BN=BN, BD=BD, num_warps=4)
        if n < d:
            # <a a^T, b b^T>, in units of D so that fp16 holds them.
            x, y = matmul(a, a.T).div_(d), matmul(b, b.T).div_(d)
            unit = d
        else:
            x = y = matmul(a.T, b).div_(n)  # S, in units of N
            unit = n
        sums = z1.new_empty(len(x), dtype=torch.float32)
        squares_kernel[(len(x),)](x, y, sums, len(x), BC=BC, num_warps=4)
        scaled = unit / n
        off_diagonal = sums.double().sum() * scaled**2 - c.double().square().sum()
        loss = (1 - c).double().square().sum() + lambd * off_diagonal

        def gradient(i: int) -> Tensor:
            (z, normalized), (z_other, other) = ((z1, a), (z2, b))[:: -1 if i else 1]
            if n < d:
                dz = matmul((x if i else y).to(a.dtype), normalized)
            else:
                dz = matmul(other, (x if i else x.T).to(a.dtype))
            gradient_kernel[grid](
                dz, z, z_other, mean[i], mean[1 - i], rstd[i], rstd[1 - i], c, n, d, 2 * lambd * unit / n**2,
                lambd, BN=BN, BD=BD, num_warps=4,
            )  # fmt: skip
            return dz

        none = z1.new_empty((0, d), dtype=torch.float32)
        dz1 = gradient(0) if need_dz1 else none
        dz2 = gradient(1) if need_dz2 else torch.empty_like(none)
    return loss.float(), dz1, dz2
