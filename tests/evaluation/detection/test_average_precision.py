"""Average precision: equal to the COCO API's."""

import contextlib
import io

import numpy as np
import pytest
import torch

from sslfast.evaluation.detection.average_precision import average_precision

SIDE, CLASSES = 160, 3


def blocks(boxes):
    """Makes masks that fill their boxes but for a corner: bool (n, SIDE, SIDE)."""
    masks = np.zeros((len(boxes), SIDE, SIDE), dtype=bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
        mask[y1 : (y1 + y2) // 2, x1 : (x1 + x2) // 2] = False
    return masks


def random_pairs(count, seed):
    """Draws objects, some of them crowds, and detections: shifted, of another class, and of nothing."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        corner, side = rng.integers(0, 60, (6, 2)), rng.choice([12, 40, 98], (6, 2))
        boxes = np.concatenate([corner, corner + side], axis=1)
        labels, crowds = rng.integers(0, CLASSES, 6), rng.random(6) < 0.2
        shifted = (boxes + rng.integers(-3, 4, (6, 4))).clip(0, SIDE)
        found = np.concatenate([shifted, shifted[:2] + np.array([20, 20, 0, 0])])[rng.random(8) < 0.8]
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 4)
        found_labels = rng.integers(0, CLASSES, len(found))
        found_labels[: min(5, len(found))] = labels[: min(5, len(found))]
        objects = {"boxes": boxes, "labels": labels, "iscrowd": crowds, "masks": blocks(boxes)}
        scores = rng.permutation(len(found)) / 10 + 0.05
        detections = {"boxes": found, "labels": found_labels, "scores": scores, "masks": blocks(found)}
        pairs.append((detections, objects))
    return pairs


def as_tensors(values):
    kinds = {"boxes": torch.float32, "scores": torch.float32}
    return {key: torch.as_tensor(value).to(kinds.get(key)) for key, value in values.items()}


def cocos(pairs, kind):
    """Computes the COCO API's first six numbers."""
    mask_api = pytest.importorskip("pycocotools.mask")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = [], []
    for image, (detections, objects) in enumerate(pairs, 1):
        for values, entries in ((objects, truth), (detections, found)):
            for i, (x1, y1, x2, y2) in enumerate(values["boxes"].tolist()):
                runs = mask_api.encode(np.asfortranarray(values["masks"][i].astype(np.uint8)))
                by_box = kind == "bbox" and values is detections  # as its loadRes measures them
                area = (x2 - x1) * (y2 - y1) if by_box else values["masks"][i].sum().item()
                entry = {"image_id": image, "category_id": int(values["labels"][i]), "area": area}
                entry |= {"id": len(entries) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": runs}
                entry["iscrowd"] = int(values["iscrowd"][i]) if "iscrowd" in values else 0
                entries.append(entry | ({"score": values["scores"][i]} if "scores" in values else {}))
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO()
        images = [{"id": image, "height": SIDE, "width": SIDE} for image in range(1, len(pairs) + 1)]
        api.dataset = {"images": images, "annotations": truth, "categories": [{"id": c} for c in range(CLASSES)]}
        api.createIndex()
        results = COCO()
        results.dataset = {**api.dataset, "annotations": found}
        results.createIndex()
        evaluation = COCOeval(api, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6]


def test_boxes_and_masks_are_measured_as_by_the_coco_api():
    pairs = random_pairs(12, seed=0)
    measures = average_precision(((as_tensors(d), as_tensors(o)) for d, o in pairs), masks=True)
    found = [-1 if value is None else value for value in measures.values()]
    assert found == pytest.approx([*cocos(pairs, "bbox"), *cocos(pairs, "segm")], abs=1e-6)
    assert 0.1 < measures["ap"] < 0.9
    assert 0.1 < measures["mask_ap"] < 0.9


def test_what_is_found_as_it_is_annotated_is_all_right_and_crowds_are_not_missed():
    (_, objects), *_ = random_pairs(1, seed=1)
    objects["iscrowd"][:2] = True, False
    whole = as_tensors(objects)
    found = {key: value[1:] for key, value in whole.items()} | {"scores": torch.ones(5)}
    measures = average_precision([(found, whole)], masks=False)
    assert measures["ap"] == measures["ap50"] == measures["ap75"] == 1
    assert "mask_ap" not in measures


def test_a_size_without_objects_has_no_measure():
    objects = {"boxes": torch.tensor([[0.0, 0, 10, 10]]), "labels": torch.tensor([0]), "iscrowd": torch.zeros(1)}
    measures = average_precision([({**objects, "scores": torch.ones(1)}, objects)], masks=False)
    assert [measures[key] for key in ("ap", "ap50", "ap75", "ap_small")] == [1, 1, 1, 1]
    assert (measures["ap_medium"], measures["ap_large"]) == (None, None)


def test_nothing_found_is_nothing():
    objects = {"boxes": torch.tensor([[0.0, 0, 10, 10]]), "labels": torch.tensor([0]), "iscrowd": torch.zeros(1)}
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    assert average_precision([(none, objects)], masks=False)["ap"] == 0
