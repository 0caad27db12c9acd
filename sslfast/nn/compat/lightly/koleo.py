"""The Kozachenko-Leonenko estimate of entropy, which DINOv2 regularizes with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import kernels as K


class KoLeoLoss(nn.Module):
    """`lightly.loss.KoLeoLoss`: spreads embeddings by the distance to each one's nearest neighbor.

    The neighbors are those of `kernels.nearest_neighbor`, without the matrix of similarities.

    Args:
        p: the norm of the distances.
        eps: a lower bound of the lengths, added to the distances.
    """

    def __init__(self, p: float = 2, eps: float = 1e-8) -> None:
        super().__init__()
        self.p, self.eps = p, eps
        self.pairwise_distance = nn.PairwiseDistance(p=p, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the mean loss of embeddings, (N, D), N > 1, which are normalized to length 1 here.

        Raises:
            ValueError: other shapes.
        """
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"KoLeoLoss: expected x of shape (N, D) with N > 1, got {tuple(x.shape)}")
        x = F.normalize(x, p=2, dim=-1, eps=self.eps)
        first, second = K.nearest_neighbor(x, x, k=2)[0].unbind(dim=1)
        itself = torch.arange(len(x), device=x.device)
        distance = self.pairwise_distance(x, x[torch.where(first == itself, second, first)])
        return -(distance + self.eps).log().mean()
