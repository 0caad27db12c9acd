"""Forms of InfoNCE that follow from its losses: a temperature that is learned, label smoothing, debiasing.

They are plain PyTorch on rows, never on the matrix of logits, and cost nothing where they are not asked for.
"""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

from sslfast.kernels.common import checks


def divided(op: str, rows: Tensor, temperature: float | Tensor, *, both: bool = False) -> tuple[Tensor, float]:
    """Moves a temperature that is a tensor into the rows, through which it gets its gradient; a float stays.

    The host does not read it, so it is not checked to be positive.

    Args:
        op: the op's name.
        rows: (N, D), a factor of the logits.
        temperature: t, a float, or a tensor of shape (), fp32 or fp64.
        both: the rows are both factors of the logits: they are divided by the root of t.

    Returns:
        (rows, temperature): the rows, of the same dtype, and the temperature that is left.

    Raises:
        ValueError: a temperature out of range; a tensor of another shape, dtype or device.
    """
    if not isinstance(temperature, Tensor):
        checks.check_temperature(op, temperature)
        return rows, temperature
    checks.check_number(op, "temperature", temperature, **{"the rows": [rows]})
    wide = rows.to(torch.promote_types(rows.dtype, temperature.dtype))
    return (wide / (temperature.sqrt() if both else temperature)).to(rows.dtype), 1.0


def check_forms(op: str, label_smoothing: float, positive_prior: float, *, has_ids: bool = False) -> None:
    """Raises ValueError for shares out of range, both forms at once, or one of them beside ids."""
    for name, share in (("label_smoothing", label_smoothing), ("positive_prior", positive_prior)):
        if not isinstance(share, Real) or not 0 <= share < 1:
            raise ValueError(f"{op}: expected {name} from 0 to below 1, got {share!r}")
        if share and has_ids:
            raise ValueError(f"{op}: {name} is not defined where ids leave keys out; leave one of them out")
    if label_smoothing and positive_prior:
        raise ValueError(f"{op}: label_smoothing and positive_prior exclude each other; leave one of them out")


def positive_logits(query: Tensor, positive: Tensor, temperature: float) -> Tensor:
    """Computes the logits of the rows' positives, (N,), in fp32 (fp64 of fp64)."""
    wide = torch.promote_types(query.dtype, torch.float32)
    return (query.to(wide) * positive.to(wide)).sum(dim=1) / temperature


def smoothing(query: Tensor, positive: Tensor, mean_key: Tensor, temperature: float) -> Tensor:
    """Computes what label smoothing adds to a loss, by its share: the positive's logit above the mean, (N,).

    Smoothing by e is (1 - e) (lse - s_+) + e (lse - mean_k s_k) = loss + e (s_+ - mean_k s_k).

    Args:
        query, positive: (N, D).
        mean_key: (D,) or (N, D), of all keys, the positive among them.
        temperature: divides the logits.
    """
    return positive_logits(query, positive - mean_key, temperature)


def debiased(
    losses: Tensor, logits: Tensor, temperature: float | Tensor, *, negatives: int, prior: float
) -> Tensor:
    """Computes the debiased contrastive loss (Chuang et al. 2020, equation 8) from InfoNCE's losses of unit rows.

    With S the negatives' sum of exponentials, N their number and P = exp(s_+) of the positive, a loss is
    log(1 + S / P), and the debiased one has max((S - N prior P) / (1 - prior), N exp(-1 / t)) in place of S.

    Args:
        losses: (N,).
        logits: (N,), those of the positives, s_+.
        temperature: t.
        negatives: N.
        prior: the chance that a negative is of the anchor's class, below 1.
    """
    if not negatives:
        return losses
    # log of the first term above s_+: S / P - N prior = exp(loss) (1 - (1 + N prior) exp(-loss))
    left = -torch.expm1(-losses) - negatives * prior * torch.exp(-losses)
    tiny = torch.finfo(losses.dtype).tiny
    unbiased = torch.where(left > tiny, losses + left.clamp(min=tiny).log() - math.log1p(-prior), -torch.inf)
    least = math.log(negatives) - 1 / temperature - logits
    return torch.nn.functional.softplus(torch.maximum(unbiased, least), threshold=50)
