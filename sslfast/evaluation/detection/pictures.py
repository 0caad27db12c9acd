"""Pictures of detections: an image with its objects, and with those that were detected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import InterpolationMode, resize, to_pil_image
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks, make_grid

from sslfast.errors import printable
from sslfast.evaluation.jpeg import write_jpeg

LEAST_SCORE, MOST = 0.3, 20  # of detections that are drawn
SIDE = 640  # pixels, the longer side of each of the two
TURN = 137.508  # degrees of hue from a class to the next: the golden angle keeps any number of them apart


def draw_detections(
    path: Path, image: Tensor, objects: dict[str, Tensor], detections: dict[str, Tensor], classes: Sequence[str]
) -> None:
    """Writes a JPEG of an image with its objects on the left, and with the detections on the right.

    Args:
        path: the file.
        image: uint8 (3, H, W).
        objects, detections: as for `average_precision`; of detections, the surest come first, and these are drawn.
        classes: names; labels count from 1.

    Raises:
        UsageError: the file cannot be written.
    """
    sure = detections["scores"] >= LEAST_SCORE
    shown = {key: value[sure][:MOST] for key, value in detections.items()}
    sheet = make_grid([_drawn(image, part, classes) for part in (objects, shown)], padding=4)
    write_jpeg(path, to_pil_image(sheet))


def _drawn(image: Tensor, found: dict[str, Tensor], classes: Sequence[str]) -> Tensor:
    """Draws the image, its longer side brought to SIDE, with boxes, masks where there are any, and names."""
    scale = SIDE / max(image.shape[1:])
    size = [round(side * scale) for side in image.shape[1:]]
    image = resize(image, size)
    labels = [label - 1 for label in found["labels"].tolist()]
    if not labels:
        return image
    colors: list[str | tuple[int, int, int]] = [f"hsl({label * TURN % 360:.0f}, 90%, 45%)" for label in labels]
    if "masks" in found:
        masks = _apart(resize(found["masks"], size, InterpolationMode.NEAREST))
        image = draw_segmentation_masks(image, masks, alpha=0.5, colors=colors)
    scores = found.get("scores", torch.ones(len(labels))).tolist()
    names = [
        printable(classes[label]) + (f" {score:.0%}" if "scores" in found else "")
        for label, score in zip(labels, scores, strict=True)
    ]
    return draw_bounding_boxes(image, found["boxes"] * scale, names, colors, width=2)


def _apart(masks: Tensor) -> Tensor:
    """Takes from each mask (N, H, W) what an earlier one covers: torchvision draws black where two overlap."""
    covered = masks.cumsum(dim=0)  # by it and those before
    return masks & (covered == 1)
