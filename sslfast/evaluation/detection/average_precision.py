"""The average precision of detections: COCO's, by torchmetrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from torch import Tensor

# From torchmetrics' names to those of a row.
NAMES = {
    "map": "ap",
    "map_50": "ap50",
    "map_75": "ap75",
    "map_small": "ap_small",
    "map_medium": "ap_medium",
    "map_large": "ap_large",
}

Objects = dict[str, Tensor]


def average_precision(pairs: Iterable[tuple[Objects, Objects]], *, masks: bool) -> dict[str, float | None]:
    """Computes COCO's measures of detections: means over the classes, at IoU 0.50 to 0.95 but for ap50 and ap75.

    Args:
        pairs: of each image, on the CPU, (detections, objects): "boxes" (n, 4), "labels" (n,), "scores" (n,) of
            detections, "iscrowd" (n,) of objects, which are not missed where they are not found, and, for masks,
            "masks" bool (n, H, W).
        masks: measure these as well.

    Returns:
        {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"} in [0, 1], the last three of objects of less
        than 32^2, less than 96^2 and more pixels; None where there is no such object. With masks the same of
        these, as "mask_ap" and so on.
    """
    from torchmetrics.detection import MeanAveragePrecision

    kinds: dict[Literal["bbox", "segm"], str] = {"bbox": "", "segm": "mask_"} if masks else {"bbox": ""}
    metric = MeanAveragePrecision(
        iou_type=tuple(kinds),
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),  # torchmetrics' own are rounded to fp32
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
        backend="faster_coco_eval",
    )
    for detections, objects in pairs:
        metric.update([detections], [objects])
    found = metric.compute()
    measures: dict[str, float | None] = {}
    for kind, prefix in kinds.items():
        for name, shown in NAMES.items():
            value = found[f"{kind}_{name}" if masks else name].item()
            measures[prefix + shown] = None if value < 0 else value
    return measures
