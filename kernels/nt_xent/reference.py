"""NT-Xent in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.kernels.common.losses import Reduction, positive_ranks


def nt_xent(
    z: Tensor, temperature: float, need_positive_rank: bool, reduction: Reduction
) -> tuple[Tensor, Tensor]:
    """Computes the loss, (2N,) or a scalar, in fp32 (fp64 for fp64 inputs), and positive ranks, (2N,) or (0,).

    Holds the (2N, 2N) matrix of logits.
    """
    logits = z @ z.T
    if logits.dtype != torch.float64:
        logits = logits.float()
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (logits / temperature).masked_fill(itself, float("-inf"))
    target = torch.arange(len(z), device=z.device).roll(len(z) // 2)  # i and i + N are a pair
    return F.cross_entropy(logits, target, reduction=reduction), positive_ranks(logits, target, need_positive_rank)
