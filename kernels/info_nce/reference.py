"""InfoNCE with a queue in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.kernels.common.losses import Reduction, positive_ranks


def info_nce(
    query: Tensor,
    positive: Tensor,
    queue: Tensor,
    temperature: float,
    need_positive_rank: bool,
    reduction: Reduction,
) -> tuple[Tensor, Tensor]:
    """Computes the loss, (N,) or a scalar, in fp32 (fp64 for fp64 inputs), and positive ranks, (N,) or (0,).

    Holds the (N, 1 + K) matrix of logits.
    """
    positive_logits = (query * positive).sum(dim=1, keepdim=True)  # (N, 1)
    negative_logits = (queue @ query[:, :, None]).squeeze(2) if queue.ndim == 3 else query @ queue.T  # (N, K)
    logits = torch.cat([positive_logits, negative_logits], dim=1)
    if logits.dtype != torch.float64:
        logits = logits.float()
    target = torch.zeros(len(query), dtype=torch.long, device=query.device)  # the positive is column 0
    loss = F.cross_entropy(logits / temperature, target, reduction=reduction)
    return loss, positive_ranks(logits, target, need_positive_rank)
