"""Pictures of detections: overlapping masks are drawn in a color, not in black."""

import torch
from PIL import Image

from sslfast.evaluation.detection.pictures import draw_detections


def test_of_overlapping_masks_the_surest_is_seen(tmp_path):
    image = torch.full((3, 64, 64), 200, dtype=torch.uint8)
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, :, 8:40] = masks[1, :, 24:56] = True
    found = {
        "boxes": torch.tensor([[8.0, 1, 40, 63], [24, 1, 56, 63]]),
        "labels": torch.tensor([1, 2]),
        "scores": torch.tensor([0.9, 0.8]),
        "masks": masks,
    }
    draw_detections(tmp_path / "a.jpg", image, {key: value[:0] for key, value in found.items()}, found, ["a", "b"])
    with Image.open(tmp_path / "a.jpg") as picture:
        first, both, second = (picture.getpixel((picture.width // 2 + 10 * x, 500)) for x in (16, 32, 48))
    assert max(first) > 150
    assert both == first != second
