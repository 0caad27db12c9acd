"""VICReg's terms of variance and covariance (Bardes, Ponce, LeCun 2022)."""

import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-4  # within the square root of a standard deviation (section 4.1)


def std_hinge(z: Tensor, *, eps: float = EPSILON) -> Tensor:
    """Averages over the components how far their standard deviation is below 1 (equations 1 and 2), a scalar.

    Args:
        z: (N, D), N > 1.
        eps: added to the variances.
    """
    return F.relu(1 - (z.var(dim=0) + eps).sqrt()).mean()


def redundancy(z: Tensor) -> Tensor:
    """Sums the squared covariances of different components, divided by D (equations 3 and 4), to a scalar.

    The squares of all entries of the centered Z^T Z, (D, D), have the same sum as those of Z Z^T, (N, N): the
    smaller one is computed.

    Args:
        z: (N, D), N > 1.
    """
    n, d = z.shape
    z = z - z.mean(dim=0)
    products = z @ z.T if n < d else z.T @ z
    variances = z.square().sum(dim=0)
    return (products.square().sum() - variances.square().sum()) / ((n - 1) ** 2 * d)
