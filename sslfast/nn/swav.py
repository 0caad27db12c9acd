"""SwAV's swapped prediction as a module."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sslfast import kernels as K
from sslfast.kernels.common import checks
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import Impl, check_impl
from sslfast.kernels.sinkhorn_knopp.op import OP as SINKHORN_KNOPP
from sslfast.kernels.sinkhorn_knopp.op import check_epsilon
from sslfast.kernels.soft_cross_entropy.op import OP as SOFT_CROSS_ENTROPY
from sslfast.nn.contrastive import ContrastiveLoss


class SwAVLoss(ContrastiveLoss):
    """The loss of SwAV: each crop predicts the codes of the global crops, as in `swapped_prediction`.

    Takes the crops' scores against the prototypes: normalize features and prototypes before.

        loss = SwAVLoss()
        loss([scores1, scores2], [local1, local2])  # each (B, K) -> scalar, or (B,) with reduction="none"

    Args:
        temperature: t > 0, divides the scores of the predictions; by default the paper's.
        epsilon: weight of the entropy of the codes; the smaller, the harder they are.
        iterations: of Sinkhorn-Knopp, at least 1.
        group: processes over whose samples together the codes are balanced; None: over this process's.
        reduction, impl: see ContrastiveLoss; impl applies to both ops.

    Raises:
        ValueError: an epsilon or iterations that `kernels.sinkhorn_knopp` does not take; see ContrastiveLoss.
    """

    ops = (SINKHORN_KNOPP, SOFT_CROSS_ENTROPY)

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        epsilon: float = 0.05,
        iterations: int = 3,
        group: dist.ProcessGroup | None = None,
        reduction: Reduction = "mean",
        impl: Impl = "auto",
    ) -> None:
        super().__init__(temperature, reduction=reduction, impl=impl)
        check_impl(type(self).__name__, impl, *self.ops, over_group=group is not None)
        check_epsilon(type(self).__name__, epsilon)
        checks.check_whole_number(type(self).__name__, "iterations", iterations, least=1)
        self.epsilon, self.iterations, self.group = epsilon, iterations, group

    def forward(
        self,
        global_scores: Sequence[Tensor],
        local_scores: Sequence[Tensor] = (),
        queue_scores: Sequence[Tensor] | None = None,
    ) -> Tensor:
        return swapped_prediction(global_scores, local_scores, queue_scores, group=self.group, **self.settings())

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "epsilon": self.epsilon, "iterations": self.iterations}


def swapped_prediction(
    global_scores: Sequence[Tensor],
    local_scores: Sequence[Tensor] = (),
    queue_scores: Sequence[Tensor] | None = None,
    *,
    temperature: float,
    epsilon: float = 0.05,
    iterations: int = 3,
    discrete: bool = False,
    group: dist.ProcessGroup | None = None,
    reduction: Reduction = "mean",
    impl: Impl = "auto",
) -> Tensor:
    """Computes SwAV's loss: each crop predicts the codes of every global crop but itself.

    With G global and L local crops (Caron et al. 2020, section 3.2 and equation 6):

        codes = [K.sinkhorn_knopp(scores) for scores in global_scores]  # without gradient
        loss = sum(
            K.soft_cross_entropy(crops[v], codes[i], temperature=temperature)
            for i in range(G) for v in range(G + L) if v != i
        ) / (G * (G + L - 1))

    Args:
        global_scores: G >= 1 tensors (B, K), of samples against prototypes.
        local_scores: L >= 2 - G tensors (B, K).
        queue_scores: G tensors (Q, K), of features of earlier batches: they take part in the balance of the
            codes, and predict nothing.
        discrete: each code is rounded to its largest component, which is then 1 (section 3.1).
        temperature, epsilon, iterations, group, reduction, impl: see SwAVLoss.

    Returns:
        The loss in fp32: a scalar, or (B,) with reduction="none".

    Raises:
        ValueError: too few crops, or another number of queue_scores than of global crops; what the ops refuse.
    """
    crops = [*global_scores, *local_scores]
    if not global_scores or len(crops) < 2:
        raise ValueError(
            "swapped_prediction: expected at least 1 global crop and 2 crops in all, "
            f"got {len(global_scores)} global and {len(local_scores)} local"
        )
    if queue_scores is not None and len(queue_scores) != len(global_scores):
        raise ValueError(
            f"swapped_prediction: expected {len(global_scores)} of queue_scores, one a global crop, "
            f"got {len(queue_scores)}"
        )
    codes = []
    for i, scores in enumerate(global_scores):
        balanced = scores if queue_scores is None else torch.cat([scores, queue_scores[i]])
        code = K.sinkhorn_knopp(balanced.detach(), epsilon=epsilon, iterations=iterations, group=group, impl=impl)
        code = code[: len(scores)]
        codes.append(torch.zeros_like(code).scatter_(1, code.argmax(1, keepdim=True), 1) if discrete else code)
    return predict_others(crops, codes, temperature=temperature, reduction=reduction, impl=impl)


def predict_others(
    scores: Sequence[Tensor],
    targets: Sequence[Tensor],
    *,
    temperature: float,
    reduction: Reduction = "mean",
    impl: Impl = "auto",
) -> Tensor:
    """Computes the mean cross-entropy of each crop's prediction with the targets of all global crops but itself.

    The loss of SwAV (equation 6) and of DINO (Caron et al. 2021, equation 3), which differ in their targets:

        sum(
            K.soft_cross_entropy(scores[v], targets[i], temperature=temperature)
            for i in range(G) for v in range(V) if v != i
        ) / (G * (V - 1))

    The cross-entropy is linear in the targets, so that a crop takes one call, with the sum of all that it
    predicts.

    Args:
        scores: V > 1 tensors (B, K), of crops against prototypes; the global crops come first.
        targets: 1 <= G <= V tensors (B, K), distributions over the prototypes, of the global crops.
        temperature, reduction, impl: as of `K.soft_cross_entropy`.

    Returns:
        The loss in fp32: a scalar, or (B,) with reduction="none".
    """
    losses = []
    for v, crop in enumerate(scores):
        predicted = [target for i, target in enumerate(targets) if i != v]
        if predicted:  # else it is the only global crop
            target = reduce(torch.add, predicted)
            losses.append(
                K.soft_cross_entropy(crop, target, temperature=temperature, reduction=reduction, impl=impl)
            )
    return reduce(torch.add, losses) / (len(targets) * (len(scores) - 1))
