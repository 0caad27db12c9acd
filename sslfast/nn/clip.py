"""CLIP's symmetric loss of paired embeddings, as a module."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import Tensor

from sslfast import distributed
from sslfast import kernels as K
from sslfast.kernels.common.info_nce_forms import check_forms
from sslfast.kernels.common.losses import Reduction
from sslfast.kernels.common.op import Impl
from sslfast.kernels.in_batch_info_nce.op import OP as IN_BATCH_INFO_NCE
from sslfast.nn.contrastive import ContrastiveLoss


class CLIPLoss(ContrastiveLoss):
    """The loss of CLIP (Radford et al. 2021, figure 3): each image finds its text, and each text its image.

    It is the mean of `kernels.in_batch_info_nce` in both directions, without a matrix of logits. Normalize the
    inputs before.

        loss = CLIPLoss(learnable_temperature=True)
        loss(image, text)  # (N, D), (N, D) -> scalar, or (N,) with reduction="none"

    Args:
        temperature: t > 0, divides the logits; by default the one that CLIP starts from.
        learnable_temperature, reduction, impl: see ContrastiveLoss.
        label_smoothing: the share of the target that is spread evenly over all pairs.
        group: processes whose pairs together are compared: every rank's loss is of its own pairs among all of
            them. None: this process's alone.

    Raises:
        ValueError: a share that the op does not take; see ContrastiveLoss.
    """

    ops = (IN_BATCH_INFO_NCE,)

    def __init__(
        self,
        temperature: float = 0.07,
        *,
        learnable_temperature: bool = False,
        label_smoothing: float = 0.0,
        group: dist.ProcessGroup | None = None,
        reduction: Reduction = "mean",
        impl: Impl = "auto",
    ) -> None:
        super().__init__(temperature, learnable_temperature=learnable_temperature, reduction=reduction, impl=impl)
        check_forms(type(self).__name__, label_smoothing, 0.0)
        self.label_smoothing, self.group = label_smoothing, group

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"label_smoothing": self.label_smoothing}

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        settings = self.settings()
        if self.group is None:
            images, texts = image, text
        else:
            images, texts = (distributed.gather(rows, self.group) for rows in (image, text))
            settings["offset"] = distributed.rank(self.group) * len(image)
        by_image = K.in_batch_info_nce(image, texts, **settings)
        return (by_image + K.in_batch_info_nce(text, images, **settings)) / 2
