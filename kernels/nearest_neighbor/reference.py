"""Nearest-neighbor lookup in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor


def nearest_neighbor(query: Tensor, queue: Tensor, k: int, normalized: bool) -> tuple[Tensor, Tensor]:
    """Finds indices, int64, and similarities, fp32 (fp64 for fp64 inputs), both (N, k). Holds all similarities."""
    query, queue = _unit(query), queue if normalized else _unit(queue)
    lost = queue.isnan().any(dim=1)  # rows without a direction: they come last
    last = queue.new_zeros(len(queue)).masked_fill(lost, -torch.inf)
    similarity = torch.addmm(last, query, queue.masked_fill(lost[:, None], 0).T)  # (N, K)
    if k == 1:
        nearest = similarity.argmax(dim=1, keepdim=True)  # the first of equals, as is the sort's
    else:
        nearest = similarity.sort(dim=1, descending=True, stable=True).indices[:, :k]
    largest = similarity.gather(1, nearest)
    if largest.dtype != torch.float64:
        largest = largest.float()
    return nearest, largest.masked_fill(largest == -torch.inf, torch.nan)


def _unit(rows: Tensor) -> Tensor:
    """Divides rows by their lengths. A row of zeros stays one; a row with NaN or infinity becomes NaN."""
    wide = torch.promote_types(rows.dtype, torch.float32)  # fp16 has no room for |rows|
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=wide)
    length = length.masked_fill(length == 0, 1).masked_fill(length.isinf(), torch.nan)
    return (rows / length).to(rows.dtype)
