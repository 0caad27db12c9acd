"""The loss of SimSiam and BYOL."""

import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.nn.negative_cosine import check_cosine


class NegativeCosineSimilarity(nn.Module):
    """`lightly.loss.NegativeCosineSimilarity`: the mean over pairs. Plain PyTorch.

    Args:
        dim: the dimension of the embeddings' components.
        eps: a lower bound of the lengths.

    Raises:
        ValueError: a dim that is no whole number, or an eps below 0.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        check_cosine("NegativeCosineSimilarity", dim, eps)
        self.dim, self.eps = dim, eps

    def forward(self, x0: Tensor, x1: Tensor) -> Tensor:
        """Computes the mean negative cosine similarity of the pairs."""
        return -F.cosine_similarity(x0, x1, self.dim, self.eps).mean()
