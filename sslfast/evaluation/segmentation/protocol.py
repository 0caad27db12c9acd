"""The protocol `segment`: an encoder is judged by what a network for segmentation becomes of it."""

from __future__ import annotations

from pathlib import Path

import torch

from sslfast.config import DataConfig
from sslfast.data.masks import MaskedImages
from sslfast.device import choose_device, to_device
from sslfast.encoders import Encoder
from sslfast.evaluation.name import with_ending
from sslfast.evaluation.progress import PROGRESS
from sslfast.evaluation.protocol import Protocol, Row
from sslfast.evaluation.segmentation.config import SegmentConfig
from sslfast.evaluation.segmentation.confusion import confusion_matrix, measures
from sslfast.evaluation.segmentation.fcn import FCN
from sslfast.evaluation.segmentation.images import count, open_images
from sslfast.evaluation.segmentation.inference import predictions
from sslfast.evaluation.segmentation.pictures import draw_prediction
from sslfast.evaluation.segmentation.training import train_network
from sslfast.progress import tqdm

PICTURES = 4  # held-out images whose predictions are drawn


def judge(
    encoder: Encoder, train: MaskedImages, val: MaskedImages, data: DataConfig, options: SegmentConfig, stem: Path
) -> list[Row]:
    """Trains an FCN on a copy of the encoder and tests it on whole images.

    Returns:
        A row of what `measures` gives. Pictures of the first held-out images are <stem>.picture-<n>.jpg, n from 1.
    """
    device, num_classes = choose_device(options.device), len(train.classes)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        network = FCN(encoder, num_classes, options.size)
    train_network(network, train, data, options, device, with_ending(stem, PROGRESS))
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
    predicted = predictions(network, val, data, options.size, device)
    bar = tqdm(predicted, "held-out masks", len(val), leave=False, disable=None)
    for number, (image, mask, classes) in enumerate(bar, 1):
        confusion += confusion_matrix(to_device(mask, device), classes, num_classes)
        if number <= PICTURES:
            file = with_ending(stem, f".picture-{number}.jpg")
            draw_prediction(file, image, mask, classes.byte().cpu().numpy(), train.classes)
    return [measures(confusion, train.classes)]


SEGMENT = Protocol(SegmentConfig, open_images, judge, count)
