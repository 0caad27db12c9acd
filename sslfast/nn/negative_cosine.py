"""The negative cosine similarity as a module."""

from numbers import Integral

import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.kernels.common import checks
from sslfast.kernels.common.losses import Reduction, reduce


class NegativeCosineSimilarity(nn.Module):
    """The negative cosine similarity of pairs, as in SimSiam (Chen and He 2021, equation 1). Plain PyTorch.

    Normalizes its inputs, as its name says. Stopping the gradient of the targets is the caller's:

        loss = NegativeCosineSimilarity()
        loss(prediction, target.detach())  # (N, D), (N, D) -> scalar, or (N,) with reduction="none"

    Args:
        dim: the dimension of the embeddings' components.
        eps: a lower bound of the lengths.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an unknown reduction, a dim that is no whole number, or an eps below 0.
    """

    def __init__(self, *, dim: int = 1, eps: float = 1e-8, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_cosine(type(self).__name__, dim, eps)
        checks.check_reduction(type(self).__name__, reduction)
        self.dim, self.eps, self.reduction = dim, eps, reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return reduce(-F.cosine_similarity(prediction, target, self.dim, self.eps), self.reduction)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}, reduction={self.reduction!r}"


def check_cosine(caller: str, dim: int, eps: float) -> None:
    """Raises ValueError unless dim is a whole number and eps a finite one of at least 0."""
    if not isinstance(dim, Integral):
        raise ValueError(f"{caller}: expected dim to be a whole number, got {dim!r}")
    if not checks.is_not_negative(eps):
        raise ValueError(f"{caller}: expected eps to be a finite number >= 0, got {eps!r}")
