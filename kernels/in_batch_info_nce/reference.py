"""In-batch InfoNCE in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.kernels.common.losses import Reduction, positive_ranks


def in_batch_info_nce(
    query: Tensor,
    keys: Tensor,
    row_ids: Tensor | None,
    key_ids: Tensor | None,
    temperature: float,
    offset: int,
    chunks: int,
    need_positive_rank: bool,
    reduction: Reduction,
) -> tuple[Tensor, Tensor]:
    """Computes the loss, (N,) or a scalar, in fp32 (fp64 for fp64 inputs), and positive ranks, (N,) or (0,).

    Holds the (N, M) matrix of logits.
    """
    logits = query @ keys.T
    if logits.dtype != torch.float64:
        logits = logits.float()
    target = torch.arange(offset, offset + len(query) // chunks, device=query.device)
    target = target.repeat(chunks) if chunks > 1 else target  # (N,)
    if row_ids is not None and key_ids is not None:
        excluded = row_ids[:, None] == key_ids  # (N, M)
        excluded = excluded.scatter(1, target[:, None], False)
        logits = logits.masked_fill(excluded, float("-inf"))
    loss = F.cross_entropy(logits / temperature, target, reduction=reduction)
    return loss, positive_ranks(logits, target, need_positive_rank)
