"""SwAV's loss."""

import torch.distributed as dist
from torch import Tensor, nn

from sslfast import distributed
from sslfast.kernels.common import checks
from sslfast.kernels.sinkhorn_knopp.op import check_epsilon
from sslfast.nn.compat.lightly.common import check_gathering
from sslfast.nn.swav import swapped_prediction


class SwaVLoss(nn.Module):
    """`lightly.loss.SwaVLoss`: the loss of `sslfast.nn.SwAVLoss`; as in the original it has shape (1,).

    Args:
        temperature: t > 0, of the predictions.
        sinkhorn_iterations: at least 1.
        sinkhorn_epsilon: weight of the entropy of the codes.
        sinkhorn_gather_distributed: balances the codes over the samples of all ranks.

    Raises:
        ValueError: a temperature, iterations or an epsilon out of range; gathering by a torch without
            torch.distributed.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sinkhorn_iterations: int = 3,
        sinkhorn_epsilon: float = 0.05,
        sinkhorn_gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        checks.check_temperature("SwaVLoss", temperature)
        checks.check_whole_number("SwaVLoss", "sinkhorn_iterations", sinkhorn_iterations, least=1)
        check_epsilon("SwaVLoss", sinkhorn_epsilon, name="a sinkhorn_epsilon")
        check_gathering("SwaVLoss", sinkhorn_gather_distributed)
        self.temperature = temperature
        self.sinkhorn_iterations = sinkhorn_iterations
        self.sinkhorn_epsilon = sinkhorn_epsilon
        self.sinkhorn_gather_distributed = sinkhorn_gather_distributed

    def forward(
        self,
        high_resolution_outputs: list[Tensor],
        low_resolution_outputs: list[Tensor],
        queue_outputs: list[Tensor] | None = None,
    ) -> Tensor:
        """Computes the loss of crops' scores against the prototypes, (B, K) each; a queue's scores are (Q, K)."""
        gathers = self.sinkhorn_gather_distributed and distributed.world_size() > 1
        loss = swapped_prediction(
            high_resolution_outputs,
            low_resolution_outputs,
            queue_outputs,
            temperature=self.temperature,
            epsilon=self.sinkhorn_epsilon,
            iterations=self.sinkhorn_iterations,
            group=dist.group.WORLD if gathers else None,
        )
        return loss.reshape(1)
