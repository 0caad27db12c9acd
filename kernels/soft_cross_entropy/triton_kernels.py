"""Soft cross-entropy in Triton.

With c = log2(e)/t, and for each row top = max_k x_k, z = sum_k 2^(c (x_k - top)) and mass = sum_k q_k:

    loss = sum_k q_k (top - x_k) / t + mass ln z
    d loss / d x_k = (mass 2^(c (x_k - top)) / z - q_k) / t

`forward_kernel` goes through a row once, with a running maximum, and keeps the three numbers for
`backward_kernel`.

Names: i_ program index, o_ offsets, m_ mask, p_ pointer, b_ block in registers; [BK] are shapes.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.kernels.common.launch import LOG2_E, LOWEST, in_units


class SoftCrossEntropyConfig(NamedTuple):
    """The cut of a row into BK columns at a time, a power of two."""

    BK: int
    num_warps: int


def choose_config(k: int) -> SoftCrossEntropyConfig:
    """Chooses the configuration for rows of K columns."""
    bk = max(64, min(4096, triton.next_power_of_2(k)))
    return SoftCrossEntropyConfig(bk, num_warps=max(1, bk // 512))


@triton.jit
def forward_kernel(
    p_logits,  # [B, K]
    p_targets,  # [B, K]
    p_loss,  # [B] out
    p_statistics,  # [B, 3] out: top, z, mass
    units,  # K = units * UNIT
    scale,  # c
    inverse_t,
    BK: tl.constexpr,
    UNIT: tl.constexpr,
):
    K = units * UNIT
    i_b = tl.program_id(0).to(tl.int64)
    top = tl.full([], LOWEST, tl.float32)
    z = tl.zeros([], tl.float32)
    mass = tl.zeros([], tl.float32)
    gap = tl.zeros([], tl.float32)  # sum_k q_k (top - x_k)
    for start in range(0, K, BK):
        o_k = start + tl.arange(0, BK)
        m_k = o_k < K
        b_x = tl.load(p_logits + i_b * K + o_k, mask=m_k, other=float("-inf")).to(tl.float32)  # [BK]
        b_q = tl.load(p_targets + i_b * K + o_k, mask=m_k, other=0.0).to(tl.float32)
        new_top = tl.maximum(top, tl.max(b_x, 0))
        z = z * tl.exp2((top - new_top) * scale) + tl.sum(tl.exp2((b_x - new_top) * scale), 0)
        rise = tl.where(start > 0, new_top - top, 0.0)  # `top` is no logit at the start
        gap += mass * rise + tl.sum(tl.where(m_k, b_q * (new_top - b_x), 0.0), 0)
        mass += tl.sum(b_q, 0)
        top = new_top
    tl.store(p_loss + i_b, gap * inverse_t + mass * (tl.log2(z) * 0.6931471805599453))
    tl.store(p_statistics + i_b * 3, top)
    tl.store(p_statistics + (i_b * 3 + 1), z)
    tl.store(p_statistics + (i_b * 3 + 2), mass)


@triton.jit
def backward_kernel(
    p_d_loss,  # [B]
    p_logits,  # [B, K]
    p_targets,  # [B, K]
    p_statistics,  # [B, 3]
    p_d_logits,  # [B, K] out
    units,  # K = units * UNIT
    scale,  # c
    inverse_t,
    BK: tl.constexpr,
    UNIT: tl.constexpr,
):
    K = units * UNIT
    i_b = tl.program_id(0).to(tl.int64)
    o_k = tl.program_id(1) * BK + tl.arange(0, BK)
    m_k = o_k < K
    top = tl.load(p_statistics + i_b * 3)
    z = tl.load(p_statistics + (i_b * 3 + 1))
    mass = tl.load(p_statistics + (i_b * 3 + 2))
    d_loss = tl.load(p_d_loss + i_b) * inverse_t
    b_x = tl.load(p_logits + i_b * K + o_k, mask=m_k, other=0.0).to(tl.float32)  # [BK]
    b_q = tl.load(p_targets + i_b * K + o_k, mask=m_k, other=0.0).to(tl.float32)
    b_d = d_loss * (mass / z * tl.exp2((b_x - top) * scale) - b_q)
    tl.store(p_d_logits + i_b * K + o_k, b_d.to(p_d_logits.dtype.element_ty), mask=m_k)


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Computes losses (B,) and the rows' statistics (B, 3); both fp32."""
    logits, targets = logits.contiguous(), targets.contiguous()
    b, k = logits.shape
    loss = logits.new_empty(b, dtype=torch.float32)
    statistics = logits.new_empty((b, 3), dtype=torch.float32)
    c = choose_config(k)
    units, unit = in_units(k)
    if b:
        with torch.cuda.device_of(logits):
            forward_kernel[(b,)](
                logits, targets, loss, statistics, units, LOG2_E / temperature, 1 / temperature,
                BK=c.BK, UNIT=unit, num_warps=c.num_warps,
            )  # fmt: skip
    return loss, statistics


def soft_cross_entropy_backward(
    d_loss: Tensor, logits: Tensor, targets: Tensor, statistics: Tensor, temperature: float
) -> Tensor:
    """Computes the gradient to the logits (B, K), in their dtype, from that to the losses (B,)."""
    d_loss, logits, targets = d_loss.contiguous(), logits.contiguous(), targets.contiguous()
    b, k = logits.shape
    d_logits = torch.empty_like(logits)
    c = choose_config(k)
    units, unit = in_units(k)
    if b:
        with torch.cuda.device_of(logits):
            backward_kernel[(b, triton.cdiv(k, c.BK))](
                d_loss, logits, targets, statistics.contiguous(), d_logits, units,
                LOG2_E / temperature, 1 / temperature, BK=c.BK, UNIT=unit, num_warps=c.num_warps,
            )  # fmt: skip
    return d_logits
