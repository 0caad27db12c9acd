"""The settings of detection, and the published numbers."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, CountOrZero, NonNegative, Probability
from sslfast.evaluation.options import EvaluationConfig

LEAST_SIDE, MOST_SIDE = 64, 2**14  # pixels: a pyramid's last level keeps a pixel of 64


class Published(NamedTuple):
    """The numbers of a protocol.

    Attributes:
        iterations, batch_size, lr, size, rois: as of `DetectConfig`.
        warmup: number of iterations over which the rate rises to its peak.
        steps: shares of the iterations after which the rate is divided by ten.
        least_scale: of the shorter side in training, relative to `size`.
    """

    iterations: int
    batch_size: int
    lr: float
    size: int
    rois: int
    warmup: int
    steps: tuple[float, float]
    least_scale: float


# LEWEL (Huang et al. 2022), section 4.3 and appendix B.1: iterations, batch and steps. It searches the learning
# rate and states no other number: these are MoCo's (He et al. 2020, arXiv:1911.05722, section 4.2), by its
# configurations for detectron2, pascal_voc_R_50_C4_24k and coco_R_50_C4_2x, and by detectron2's defaults.
PROTOCOLS = {
    "voc": Published(24_000, 16, 0.02, 800, 512, 100, (3 / 4, 11 / 12), 0.6),
    "coco_1x": Published(90_000, 16, 0.02, 800, 512, 1000, (2 / 3, 8 / 9), 0.8),
    "coco_2x": Published(180_000, 16, 0.02, 800, 512, 1000, (2 / 3, 8 / 9), 0.8),
    # ours
    "short": Published(300, 4, 0.08, 256, 64, 30, (3 / 4, 11 / 12), 0.8),
}


@dataclass(config=STRICT)
class DetectConfig(EvaluationConfig):
    """A Faster or Mask R-CNN on the encoder, trained on annotated objects: the protocol of MoCo and LEWEL."""

    protocol: Literal["short", "voc", "coco_1x", "coco_2x"] = "short"
    """Defaults of the settings below, and the course of the rate. voc: LEWEL's and MoCo's for Pascal VOC 07+12,
    / 10 at 3/4 and 11/12 of 24k iterations; coco_1x, coco_2x: theirs for COCO, / 10 at 2/3 and 8/9 of 90k, 180k;
    short: ours, for a CPU and a small encoder."""
    classes: str | None = None
    """Classes to use, in this order: names with commas between, or a text file with a name a line; null: all.
    Objects of others are left out, and their images stay."""
    detector: Literal["c4", "fpn"] = "c4"
    """Form of the detector. c4: on the encoder's stage of stride 16, whose last stage is the head; fpn: a feature
    pyramid over its four stages."""
    masks: bool | None = None
    """Whether masks are predicted too, by a Mask R-CNN; null: where the data have outlines."""
    norm: Literal["batch", "frozen"] = "batch"
    """Batch normalization of the encoder. batch: it is trained, and the new layers have one, as in the papers;
    frozen: it stays as it is, statistics too, and the new layers have none."""
    iterations: CountOrZero = 0
    """Number of training steps; 0: the protocol's, 24000 (voc), 90000 (coco_1x), 180000 (coco_2x), 300 (short)."""
    batch_size: CountOrZero = 0
    """Number of images in a step; 0: the protocol's, 16, or 4 (short)."""
    lr: NonNegative = 0.0
    """Learning rate at a batch of 16, scaled linearly with it; 0: the protocol's, 0.02, or 0.08 (short)."""
    size: CountOrZero = 0
    """Shorter side in pixels that images are brought to, in training to 60 % (voc) or 80 % of it and more, by
    chance; the longer one is at most 5/3 of it. The detector's anchors scale along. 0: the protocol's, 800, or 256
    (short)."""
    rois: CountOrZero = 0
    """Number of an image's regions that the head is trained on in a step; 0: the protocol's, 512, or 64
    (short)."""
    momentum: Probability = 0.9
    """Momentum of SGD."""
    weight_decay: NonNegative = 1e-4
    """Weight decay: an L2 penalty on all weights but those of normalizations."""

    def __post_init__(self) -> None:
        published = PROTOCOLS[self.protocol]
        self.iterations = self.iterations or published.iterations
        self.batch_size = self.batch_size or published.batch_size
        self.lr = self.lr or published.lr
        self.size = self.size or published.size
        self.rois = self.rois or published.rois
        if not LEAST_SIDE <= self.size <= MOST_SIDE:
            raise ValueError(f"size={self.size}: expected {LEAST_SIDE} to {MOST_SIDE} pixels")

    @property
    def published(self) -> Published:
        """Returns the numbers of the protocol."""
        return PROTOCOLS[self.protocol]
