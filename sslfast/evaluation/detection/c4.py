"""The head of a C4 detector: the encoder's last stage sees each region, for its box and for its mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_loss


class C4Heads(RoIHeads):
    """torchvision's heads, where the box's and the mask's share one stage, as detectron2's Res5ROIHeads.

    In training a region passes the stage once, and masks are predicted from the maps of those on an object.
    torchvision's own would send these through it a second time, with batch statistics of their own.

    Args:
        stage: regions (R, C, 14, 14) -> maps (R, feature_dim, 7, 7).
        box_predictor: features (R, feature_dim) -> scores and boxes.
        mask_predictor: maps -> masks; None: boxes alone.
        pool: cuts the regions out.
        settings: the other arguments of `RoIHeads`.
    """

    def __init__(
        self,
        stage: nn.Module,
        box_predictor: nn.Module,
        mask_predictor: nn.Module | None,
        pool: nn.Module,
        **settings: float | int | None,
    ) -> None:
        box_head = nn.Sequential(stage, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(pool, box_head, box_predictor, **settings)
        if mask_predictor is not None:
            self.mask_roi_pool, self.mask_head, self.mask_predictor = pool, stage, mask_predictor

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        if not self.training:
            return super().forward(features, proposals, image_shapes, targets)
        assert targets is not None
        proposals, matches, labels, offsets = self.select_training_samples(proposals, targets)
        maps = self.box_head[0](self.box_roi_pool(features, proposals, image_shapes))
        class_loss, box_loss = fastrcnn_loss(*self.box_predictor(maps.mean((2, 3))), labels, offsets)
        losses = {"loss_classifier": class_loss, "loss_box_reg": box_loss}
        if self.has_mask():
            on_object = [of_image > 0 for of_image in labels]
            losses["loss_mask"] = maskrcnn_loss(
                self.mask_predictor(maps[torch.cat(on_object)]),
                [boxes[chosen] for boxes, chosen in zip(proposals, on_object, strict=True)],
                [target["masks"] for target in targets],
                [target["labels"] for target in targets],
                [match[chosen] for match, chosen in zip(matches, on_object, strict=True)],
            )
        return [], losses
