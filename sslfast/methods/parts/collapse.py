"""A measure of collapse: whether a network without negatives still tells images apart."""

import torch.nn.functional as F
from torch import Tensor


def embedding_std(z: Tensor) -> Tensor:
    """Computes the standard deviation of normalized embeddings over the batch, the mean over their components.

    SimSiam reports it (Chen and He 2021, section 4.1): 0 if all embeddings have one direction, and close to
    1 / sqrt(D) if they are spread evenly over the sphere.

    Args:
        z: (N, D).

    Returns:
        fp32, 0-d, without gradient.
    """
    return F.normalize(z.detach().float(), dim=1).std(dim=0, correction=0).mean()
