"""The supervised contrastive loss in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor


def sup_con(features: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Computes per-anchor losses (M,), fp32 (fp64 for fp64 inputs), and the anchors' numbers of positives (M,).

    Holds the (M, M) matrix of logits.
    """
    logits = features @ features.T
    if logits.dtype != torch.float64:
        logits = logits.float()
    logits = logits / temperature
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    is_positive = (labels[:, None] == labels) & ~itself
    count = is_positive.sum(dim=1)
    positive_mean = logits.where(is_positive, 0).sum(dim=1) / count.clamp(min=1)
    losses = logits.masked_fill(itself, float("-inf")).logsumexp(dim=1) - positive_mean
    return losses.where(count > 0, 0), count
