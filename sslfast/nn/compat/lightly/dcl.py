"""The losses of decoupled contrastive learning, DCL and DCLW."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.kernels.common import checks
from sslfast.nn.compat.lightly.common import check_gathering
from sslfast.nn.partition import log_partition

WeightFunction = Callable[[Tensor, Tensor], Tensor]


class DCLLoss(nn.Module):
    """`lightly.loss.DCLLoss`: NT-Xent without the positive in the denominator, by `kernels.in_batch_info_nce`.

    The embeddings are normalized to length 1. In fp32 the loss has few digits where all of a row's negatives
    point away from it, as only the few of a tiny batch do.

    Args:
        temperature: t > 0. The original takes negative ones too.
        weight_fn: gives the positives' weights, (N,), from the views' normalized embeddings, (N, dim) each; it is
            called for each view with that view first. None: all weigh 1.
        gather_distributed: the negatives are those of all ranks.

    Raises:
        ValueError: a temperature out of range; gathering by a torch without torch.distributed.
    """

    def __init__(
        self, temperature: float = 0.1, weight_fn: WeightFunction | None = None, gather_distributed: bool = False
    ) -> None:
        super().__init__()
        checks.check_temperature(type(self).__name__, temperature)
        check_gathering(type(self).__name__, gather_distributed)
        self.temperature, self.weight_fn, self.gather_distributed = temperature, weight_fn, gather_distributed

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        """Computes the mean loss of two views' embeddings, (N, dim) each."""
        out0, out1 = F.normalize(out0, dim=1), F.normalize(out1, dim=1)
        positives = (out0 * out1).sum(dim=1) / self.temperature
        if self.weight_fn is not None:
            positives = positives * (self.weight_fn(out0, out1) + self.weight_fn(out1, out0)) / 2
        negatives = log_partition(
            torch.cat([out0, out1]),
            num_views=2,
            temperature=self.temperature,
            over_ranks=self.gather_distributed,
        )
        return negatives.mean() - positives.mean()


class DCLWLoss(DCLLoss):
    """`lightly.loss.DCLWLoss`: DCLLoss with the paper's weights, `negative_mises_fisher_weights`.

    Args:
        temperature, gather_distributed: see DCLLoss; the weights are of a rank's own pairs in any case.
        sigma: divides the similarities in the weights.

    Raises:
        ValueError: see DCLLoss.
    """

    def __init__(self, temperature: float = 0.1, sigma: float = 0.5, gather_distributed: bool = False) -> None:
        weights = partial(negative_mises_fisher_weights, sigma=sigma)
        super().__init__(temperature, weights, gather_distributed)


def negative_mises_fisher_weights(out0: Tensor, out1: Tensor, sigma: float = 0.5) -> Tensor:
    """Computes the weights of DCLW, without gradient: `lightly.loss.dcl_loss.negative_mises_fisher_weights`.

    They are 2 - exp(s / sigma) / mean(exp(s / sigma)), with s = out0 * out1 summed over a pair's components.

    Args:
        out0, out1: (N, dim), of length 1.
        sigma: divides the similarities.

    Returns:
        (N,), of mean 1.
    """
    similarity = (out0.detach() * out1.detach()).sum(dim=1)
    return 2 - len(out0) * F.softmax(similarity / sigma, dim=0)
