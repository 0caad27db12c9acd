"""InfoNCE as modules: with negatives from a queue, and with negatives from the batch."""

from typing import Any

import torch.distributed as dist
from torch import Tensor

from sslfast import kernels as K
from sslfast.kernels.common import checks
from sslfast.kernels.common.info_nce_forms import check_forms
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import Impl
from sslfast.kernels.in_batch_info_nce.op import OP as IN_BATCH_INFO_NCE
from sslfast.kernels.info_nce.op import OP as INFO_NCE
from sslfast.nn.contrastive import ContrastiveLoss
from sslfast.nn.sharded import sharded_info_nce


class InfoNCELoss(ContrastiveLoss):
    """InfoNCE against a queue of negatives, as in MoCo (He et al. 2020, equation 1): `kernels.info_nce`.

    Normalize the inputs before. The queue is the caller's: enqueue the keys after the loss.

        loss = InfoNCELoss(temperature=0.2)
        loss(query, positive, queue)  # (N, D), (N, D), (K, D) -> scalar, or (N,) with reduction="none"
        loss(query, positive, queue, return_rank=True)  # and positive_rank, (N,), 0 where the positive comes first

    Args:
        temperature, learnable_temperature, reduction, impl: see ContrastiveLoss.
        label_smoothing: the share of the target that is spread evenly over all keys.
        positive_prior: the chance that a negative is of the query's class, by which the loss is debiased.
        group: processes each of which holds a part of the queue, and enqueues its own keys there alone: the
            negatives are those of all parts. Every rank has N queries. None: the queue is whole.

    Raises:
        ValueError: shares that the op does not take, or any beside a group; see ContrastiveLoss.
    """

    ops = (INFO_NCE,)

    def __init__(
        self,
        temperature: float,
        *,
        learnable_temperature: bool = False,
        label_smoothing: float = 0.0,
        positive_prior: float = 0.0,
        group: dist.ProcessGroup | None = None,
        reduction: Reduction = "mean",
        impl: Impl = "auto",
    ) -> None:
        super().__init__(temperature, learnable_temperature=learnable_temperature, reduction=reduction, impl=impl)
        check_forms(type(self).__name__, label_smoothing, positive_prior)
        self.label_smoothing, self.positive_prior, self.group = label_smoothing, positive_prior, group
        self._check_group()

    def settings(self) -> dict[str, Any]:
        return super().settings() | shares(self)

    def _check_group(self) -> None:
        if self.group is not None and (self.label_smoothing or self.positive_prior):
            raise ValueError(
                "InfoNCELoss: label_smoothing and positive_prior are of a whole queue; leave them out beside group"
            )

    def forward(
        self, query: Tensor, positive: Tensor, queue: Tensor, *, return_rank: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        settings = self.settings() | {"return_rank": return_rank}
        if self.group is None:
            return K.info_nce(query, positive, queue, **settings)
        self._check_group()  # a schedule may have changed the shares
        return sharded_info_nce(query, positive, queue, self.group, settings)


class InBatchInfoNCELoss(ContrastiveLoss):
    """InfoNCE against the batch's other keys, as in MoCo v3 (Chen et al. 2021): `kernels.in_batch_info_nce`.

    Normalize the inputs before. The key of row i is i; over several processes gather the keys first
    (`sslfast.distributed.gather`) and pass the rank's `offset`.

        loss = InBatchInfoNCELoss(temperature=0.2)
        loss(query, keys)  # (chunks * n, D), (M, D) -> scalar, or (chunks * n,) with reduction="none"

    Args:
        temperature, learnable_temperature, reduction, impl: see ContrastiveLoss.
        chunks: how many positives each key has among the rows, such as Fast-MoCo's 6.
        label_smoothing, positive_prior: see InfoNCELoss.

    Raises:
        ValueError: fewer chunks than 1; see InfoNCELoss.
    """

    ops = (IN_BATCH_INFO_NCE,)

    def __init__(
        self,
        temperature: float,
        *,
        chunks: int = 1,
        learnable_temperature: bool = False,
        label_smoothing: float = 0.0,
        positive_prior: float = 0.0,
        reduction: Reduction = "mean",
        impl: Impl = "auto",
    ) -> None:
        super().__init__(temperature, learnable_temperature=learnable_temperature, reduction=reduction, impl=impl)
        checks.check_whole_number(type(self).__name__, "chunks", chunks, least=1)
        check_forms(type(self).__name__, label_smoothing, positive_prior)
        self.chunks, self.label_smoothing, self.positive_prior = chunks, label_smoothing, positive_prior

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        *,
        offset: int = 0,
        ids: tuple[Tensor, Tensor] | None = None,
        return_rank: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Computes the loss.

        Args:
            query: (chunks * n, D).
            keys: (M, D), those of all ranks; row c * n + i of query has key i + offset.
            offset: n times the rank where keys were gathered.
            ids: (row_ids, key_ids), int64, (chunks * n,) and (M,): keys with the row's id, its own aside, are
                no negatives of it.
            return_rank: also return positive_rank, int64, (chunks * n,), 0 where the positive comes first.
        """
        settings = self.settings() | {"return_rank": return_rank}
        return K.in_batch_info_nce(query, keys, offset=offset, chunks=self.chunks, ids=ids, **settings)

    def settings(self) -> dict[str, Any]:
        return super().settings() | shares(self)

    def extra_repr(self) -> str:
        return f"chunks={self.chunks}, {super().extra_repr()}"


def shares(loss: InfoNCELoss | InBatchInfoNCELoss) -> dict[str, Any]:
    """Returns the op's arguments for its other forms."""
    return {"label_smoothing": loss.label_smoothing, "positive_prior": loss.positive_prior}
