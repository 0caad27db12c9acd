"""The losses of masked siamese networks, MSN, and of prior matching, PMSN."""

import math
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.kernels.common import checks
from sslfast.nn.compat.lightly.common import check_gathering


class MSNLoss(nn.Module):
    """`lightly.loss.MSNLoss`: anchors predict the prototypes of their targets, by `kernels.soft_cross_entropy`.

    Args:
        temperature: t > 0, divides the similarities.
        sinkhorn_iterations: that balance the targets; 0: they are not balanced.
        regularization_weight: of the regularization, which wants all prototypes to be used.
        gather_distributed: balances the targets over the samples of all ranks.

    Raises:
        ValueError: an argument out of range; gathering by a torch without torch.distributed.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sinkhorn_iterations: int = 3,
        regularization_weight: float = 1.0,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        checks.check_temperature(name, temperature)
        checks.check_whole_number(name, "sinkhorn_iterations", sinkhorn_iterations, least=0)
        check_gathering(name, gather_distributed)
        self.temperature, self.sinkhorn_iterations = temperature, sinkhorn_iterations
        self.regularization_weight, self.gather_distributed = regularization_weight, gather_distributed

    def forward(
        self, anchors: Tensor, targets: Tensor, prototypes: Tensor, target_sharpen_temperature: float = 0.25
    ) -> Tensor:
        """Computes the mean loss of the anchors.

        Args:
            anchors: (V * B, D), V views of each sample, normalized to length 1 here, as are the others.
            targets: (B, D); they receive no gradient.
            prototypes: (K, D).
            target_sharpen_temperature: in (0, 1]; the smaller, the sharper the targets.
        """
        anchors, targets, prototypes = (F.normalize(rows, dim=1) for rows in (anchors, targets, prototypes))
        scores = anchors @ prototypes.T
        codes = self._codes(targets, prototypes, target_sharpen_temperature)
        codes = codes.repeat(len(anchors) // len(targets), 1)
        loss = K.soft_cross_entropy(scores, codes, temperature=self.temperature)
        if self.regularization_weight > 0:
            mean = F.softmax(scores / self.temperature, dim=1).mean(dim=0)
            loss = loss + self.regularization_weight * self.regularization_loss(mean)
        return loss

    @torch.no_grad()
    def _codes(self, targets: Tensor, prototypes: Tensor, sharpening: float) -> Tensor:
        logits = targets @ prototypes.T / (self.temperature * sharpening)
        if self.sinkhorn_iterations == 0:
            return F.softmax(logits, dim=1)
        gathers = self.gather_distributed and distributed.world_size() > 1
        group = dist.group.WORLD if gathers else None
        log_p = F.log_softmax(logits, dim=1)
        return K.sinkhorn_knopp(log_p, epsilon=1, iterations=self.sinkhorn_iterations, group=group)

    def regularization_loss(self, mean_anchor_probs: Tensor) -> Tensor:
        """Computes the divergence of the anchors' mean probabilities, (K,), from even ones."""
        return math.log(len(mean_anchor_probs)) + torch.xlogy(mean_anchor_probs, mean_anchor_probs).sum()


class PMSNCustomLoss(MSNLoss):
    """`lightly.loss.PMSNCustomLoss`: MSNLoss whose prototypes are to be used as a distribution says.

    Args:
        target_distribution: gives that distribution, (K,), from the anchors' mean probabilities, (K,).
        temperature, sinkhorn_iterations, regularization_weight, gather_distributed: see MSNLoss.

    Raises:
        ValueError: see MSNLoss.
    """

    def __init__(
        self,
        target_distribution: Callable[[Tensor], Tensor],
        temperature: float = 0.1,
        sinkhorn_iterations: int = 3,
        regularization_weight: float = 1,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__(temperature, sinkhorn_iterations, regularization_weight, gather_distributed)
        self.target_distribution = target_distribution

    def regularization_loss(self, mean_anchor_probs: Tensor) -> Tensor:
        """Computes the divergence of the distribution from the anchors' mean probabilities, (K,)."""
        target = self.target_distribution(mean_anchor_probs).to(mean_anchor_probs.device)
        return F.kl_div(mean_anchor_probs.log(), target, reduction="sum")


class PMSNLoss(MSNLoss):
    """`lightly.loss.PMSNLoss`: MSNLoss whose prototypes are to be used as a power law says.

    Args:
        power_law_exponent: the share of prototype k, from 1, falls as k to minus this power.
        temperature, sinkhorn_iterations, regularization_weight, gather_distributed: see MSNLoss.

    Raises:
        ValueError: see MSNLoss.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sinkhorn_iterations: int = 3,
        regularization_weight: float = 1,
        power_law_exponent: float = 0.25,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__(temperature, sinkhorn_iterations, regularization_weight, gather_distributed)
        self.power_law_exponent = power_law_exponent

    def regularization_loss(self, mean_anchor_probs: Tensor) -> Tensor:
        """Computes the divergence of the power law from the anchors' mean probabilities, (K,)."""
        k = torch.arange(1.0, len(mean_anchor_probs) + 1, device=mean_anchor_probs.device)
        shares = k ** (-self.power_law_exponent)
        return F.kl_div(mean_anchor_probs.log(), shares / shares.sum(), reduction="sum")
