"""Losses with the constructors and calls of pytorch-metric-learning's, as of its version 2.9.

    from sslfast.nn.compat.pytorch_metric_learning import NTXentLoss, SupConLoss

Supported are the losses as they come, with cosine similarity and all pairs that the labels make. What the
originals take and these refuse, with a NotImplementedError: `distance`, `reducer`, `embedding_regularizer` and
`collect_stats`; `indices_tuple` (a miner's, and so `SelfSupervisedLoss` and calls without labels), `ref_emb` and
`ref_labels`. Labels of a floating-point dtype are a ValueError. The loss of embeddings in fp16 is in fp32.
"""

from abc import ABC, abstractmethod
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.kernels.common import checks
from sslfast.nn.compat.missing import refuse

__all__ = ["NTXentLoss", "SupConLoss"]

UNSUPPORTED = ("distance", "reducer", "embedding_regularizer")


class _PairLoss(nn.Module, ABC):
    """A loss over pairs of one label: the constructor, the call, and the checks of both losses here."""

    def __init__(self, temperature: float, settings: dict[str, Any]) -> None:
        super().__init__()
        name = type(self).__name__
        checks.check_temperature(name, temperature)
        if unknown := settings.keys() - {*UNSUPPORTED, "embedding_reg_weight", "collect_stats"}:
            raise TypeError(f"{name}: got an unexpected keyword argument {min(unknown)!r}")
        self._refuse(**{argument: settings.get(argument) for argument in UNSUPPORTED})
        self._refuse(collect_stats=settings.get("collect_stats") or None)
        self.temperature = temperature

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: None = None,
        ref_emb: None = None,
        ref_labels: None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            embeddings: (M, D); normalized to length 1 here.
            labels: (M,), of an integer dtype, on any device.
            indices_tuple, ref_emb, ref_labels: None.

        Raises:
            ValueError: no labels, or shapes and dtypes that do not fit.
            NotImplementedError: an argument that is not supported.
        """
        name = type(self).__name__
        self._refuse(indices_tuple=indices_tuple, ref_emb=ref_emb, ref_labels=ref_labels)
        if embeddings.ndim != 2:
            raise ValueError(f"{name}: expected embeddings of shape (M, D), got {tuple(embeddings.shape)}")
        if labels is None or labels.shape != embeddings.shape[:1]:
            came = None if labels is None else tuple(labels.shape)
            raise ValueError(f"{name}: expected labels of shape ({len(embeddings)},), got {came}")
        if labels.is_floating_point():
            raise ValueError(f"{name}: expected labels of an integer dtype, got {labels.dtype}")
        return self.loss(F.normalize(embeddings, dim=1), labels)

    @abstractmethod
    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss of normalized embeddings (M, D) and checked labels (M,)."""

    def _refuse(self, **arguments: Any) -> None:
        """Raises NotImplementedError for an argument that is not None."""
        name = type(self).__name__
        for argument, value in arguments.items():
            if value is not None:
                raise NotImplementedError(
                    f"{name}: {argument} is not supported; leave it out if it is the default, else keep "
                    f"pytorch_metric_learning.losses.{name}"
                )


class SupConLoss(_PairLoss):
    """`pytorch_metric_learning.losses.SupConLoss`: `kernels.sup_con` of the normalized embeddings.

    As in the original the mean is over the anchors whose loss is above 0, and the loss is 0 where all samples
    have one label. (Rounding decides whether an anchor without near negatives is above 0; that can differ.) The
    loss of embeddings with NaN is NaN, where the original's is 0.

    Args:
        temperature: t > 0, divides the similarities.
        distance, reducer, embedding_regularizer, embedding_reg_weight, collect_stats: leave them out.

    Raises:
        NotImplementedError: an argument that is not supported.
        ValueError: a temperature out of range.
    """

    def __init__(self, temperature: float = 0.1, **kwargs: Any) -> None:
        super().__init__(temperature, kwargs)

    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        labels = labels.to(z.device)
        losses = K.sup_con(z, labels, temperature=self.temperature, reduction="none")
        counted = ~(losses <= 0) & (labels != labels[:1]).any()
        return losses.where(counted, 0).sum() / counted.sum().clamp(min=1)


class NTXentLoss(_PairLoss):
    """`pytorch_metric_learning.losses.NTXentLoss`: each pair of a label against the anchor's negatives.

    Of every ordered pair (a, p) of one label, averaged over all pairs, with n over the samples of other labels:

        loss = -log(e(s_ap / t) / (e(s_ap / t) + sum_n e(s_an / t)))

    Other positives of the anchor stay out of the denominator, unlike in SimCLR's and the supervised contrastive
    loss. Where no label has more than two samples all three are one: given labels on the CPU, where looking at
    them makes nobody wait for a device, that case is computed by `kernels.sup_con`. All else is plain PyTorch,
    with the (M, M) matrix of similarities, but without the original's tensor of pairs by negatives. The original
    clips a pair's loss at 87 (in fp32); here it is what it is.

    Args:
        temperature: t > 0, divides the similarities.
        distance, reducer, embedding_regularizer, embedding_reg_weight, collect_stats: leave them out.

    Raises:
        NotImplementedError: an argument that is not supported.
        ValueError: a temperature out of range.
    """

    def __init__(self, temperature: float = 0.07, **kwargs: Any) -> None:
        super().__init__(temperature, kwargs)

    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        if labels.device.type == "cpu" and not torch.compiler.is_compiling():
            _, counts = labels.unique(return_counts=True)
            if bool((counts <= 2).all()):
                return K.sup_con(z, labels.to(z.device), temperature=self.temperature)
        labels = labels.to(z.device)
        same = labels[:, None] == labels
        logits = z @ z.T  # (M, M)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / self.temperature
        negatives = logits.masked_fill(same, -torch.inf).logsumexp(dim=1, keepdim=True)
        pairs = same.clone().fill_diagonal_(False)
        losses = F.softplus(negatives - logits).where(pairs, 0)
        return losses.sum() / pairs.sum().clamp(min=1)


def __getattr__(name: str) -> NoReturn:
    refuse(__name__, name, __all__, original="pytorch_metric_learning.losses")
