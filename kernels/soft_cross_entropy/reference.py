"""Cross-entropy with soft targets in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Computes per-sample losses (B,), fp32 (fp64 for fp64 inputs). Holds all log-probabilities, (B, K)."""
    wide = torch.promote_types(torch.promote_types(logits.dtype, targets.dtype), torch.float32)
    log_p = (logits.to(wide) / temperature).log_softmax(dim=1)
    return -(targets * log_p).sum(dim=1)
