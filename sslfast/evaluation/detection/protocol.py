"""How `detect` judges an encoder: a detector on it is trained, and tested on held-out images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from sslfast.config import DataConfig
from sslfast.data.annotations import AnnotatedImages
from sslfast.device import choose_device
from sslfast.encoders import Encoder
from sslfast.evaluation.detection.average_precision import Objects, average_precision
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.detection.examples import on_device, read_example
from sslfast.evaluation.detection.images import count, open_images, with_objects
from sslfast.evaluation.detection.model import build_detector
from sslfast.evaluation.detection.pictures import draw_detections
from sslfast.evaluation.detection.training import train_detector
from sslfast.evaluation.name import with_ending
from sslfast.evaluation.progress import PROGRESS
from sslfast.evaluation.protocol import Protocol, Row
from sslfast.progress import trange

log = logging.getLogger(__name__)

PICTURES = 4  # held-out images whose detections are drawn


def judge(
    encoder: Encoder,
    train: AnnotatedImages,
    val: AnnotatedImages,
    data: DataConfig,
    options: DetectConfig,
    stem: Path,
) -> list[Row]:
    """Trains a detector on a copy of the encoder and tests it on the held-out images.

    Training images without an object are left out, as in detectron2; held-out ones are tested.

    Returns:
        A row of what `average_precision` gives. Pictures of the first held-out images with an object are
        <stem>.picture-<n>.jpg, n from 1.
    """
    device = choose_device(options.device)
    masks = train.has_masks and val.has_masks if options.masks is None else options.masks
    chosen = with_objects(train)
    if len(chosen) < len(train):
        log.info(
            "%s: %d of %d training images show no object and are left out",
            train.name,
            len(train) - len(chosen),
            len(train),
        )
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        detector = build_detector(encoder, len(train.classes), data, options, masks=masks).to(device)
    train_detector(detector, train.subset(chosen), options, device, with_ending(stem, PROGRESS), masks=masks)
    detector.eval()
    return [average_precision(_tested(detector, val, device, stem, masks=masks), masks=masks)]


def _tested(
    detector: nn.Module, images: AnnotatedImages, device: torch.device, stem: Path, *, masks: bool
) -> Iterator[tuple[Objects, Objects]]:
    """Yields the detections and the objects of each image; those of a few are drawn."""
    to_draw = {index: number for number, index in enumerate(with_objects(images)[:PICTURES], 1)}
    for index in trange(len(images), desc="held-out images", leave=False, disable=None):
        example = read_example(images, index, masks=masks)
        found = detect(detector, on_device(example, device)[0])
        if index in to_draw:
            file = with_ending(stem, f".picture-{to_draw[index]}.jpg")
            draw_detections(file, *example, found, images.classes)
        yield found, example[1]


@torch.no_grad()
def detect(detector: nn.Module, image: torch.Tensor) -> Objects:
    """Detects objects in an image (3, H, W) of values in [0, 1], on the CPU, as `average_precision` takes them."""
    (found,) = detector([image])
    if "masks" in found:
        found["masks"] = found["masks"].squeeze(1) > 0.5
    return {key: value.cpu() for key, value in found.items()}


DETECT = Protocol(DetectConfig, open_images, judge, count)
