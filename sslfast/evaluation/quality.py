"""The quality of features without labels: how far they are spread, and over how many directions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.evaluation.features import features
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.hypersphere import alignment

SAMPLE = 4096  # images whose features are measured, at most: ours; RankMe's authors take 25,600
MIRRORED = 256  # images that are encoded a second time, mirrored


def feature_quality(x: Tensor) -> dict[str, float]:
    """Computes the spread, the effective rank and the uniformity of features, each a number without a unit.

    - feature_std: the standard deviation of normalized features, the mean over their components (Chen and He 2021,
      section 4.1): 0 where all have one direction, 1 / sqrt(D) at most.
    - feature_rank: RankMe (Garrido et al. 2023, arXiv:2210.02885, equation 1), exp of the entropy of the singular
      values' shares: 1 where all have one direction, min(N, D) where all directions are equally strong.
    - feature_uniformity: the log of the mean of exp(-2 |x_i - x_j|^2) over all pairs of normalized features (Wang
      and Isola 2020, arXiv:2005.10242, section 4.1.2): 0 where all are the same, down to about -4.

    Args:
        x: (N, D), any floating dtype, N > 1; of more than SAMPLE rows, as many evenly spaced ones are measured.

    Returns:
        The values by these names; NaN where a feature is not finite.
    """
    x = x[evenly_spaced(len(x), SAMPLE)].float()
    if not x.isfinite().all():
        return dict.fromkeys(("feature_std", "feature_rank", "feature_uniformity"), math.nan)
    unit = F.normalize(x, dim=1)
    return {
        "feature_std": embedding_std(x).item(),
        "feature_rank": effective_rank(x),
        "feature_uniformity": torch.pdist(unit).square().mul(-2).exp().mean().log().item(),
    }


def effective_rank(x: Tensor) -> float:
    """Computes exp of the entropy of the singular values' shares of their sum; 0 of a matrix of zeros.

    Args:
        x: (N, D), finite; not centered, as in the paper.
    """
    x = x.double()
    # The eigenvalues of the smaller Gram matrix are the squares of the singular values.
    gram = x.T @ x if len(x) > x.shape[1] else x @ x.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    total = values.sum()
    return torch.special.entr(values / total).sum().exp().item() if total > 0 else 0.0


def mirror_alignment(
    encoder: nn.Module,
    source: Source,
    data: DataConfig,
    device: torch.device,
    check_interrupt: Callable[[], None] = lambda: None,
) -> float:
    """Computes the mean squared distance of the normalized features of an image and of its mirror image.

    It is the alignment of Wang and Isola 2020 (section 4.1.1, alpha=2): 0 where the two have the same features, 2
    where they have nothing to do with each other. Pairs of mirror images are ours: they need no augmentation, and
    are the same for all methods. Of MIRRORED images at most, evenly spaced.

    Args:
        encoder, source, data, device, check_interrupt: as of `features`.
    """
    some = source.subset(evenly_spaced(len(source), MIRRORED))
    both, _ = features(_WithMirror(encoder), some, data, device, check_interrupt=check_interrupt)
    return alignment(*(F.normalize(half, dim=1) for half in both.chunk(2, dim=1))).item()


class _WithMirror(nn.Module):
    """The features of images beside those of their mirror images: (B, C, H, W) -> (B, 2 D)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.encoder(images), self.encoder(images.flip(-1))], dim=1)


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """Chooses the positions of `count` items, or of `most` of them: (min(count, most),) int64, in rising order."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)
