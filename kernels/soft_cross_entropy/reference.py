"""Cross-entropy with soft targets in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.kernels.common.losses import Reduction


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float, reduction: Reduction) -> Tensor:
    """Computes the loss, (B,) or a scalar, in fp32 (fp64 for fp64 inputs). Holds all log-probabilities, (B, K)."""
    if not logits.dtype == targets.dtype == torch.float32:
        wide = torch.promote_types(torch.promote_types(logits.dtype, targets.dtype), torch.float32)
        logits, targets = logits.to(wide), targets.to(wide)
    return F.cross_entropy(logits / temperature, targets, reduction=reduction)
