"""Images and encoders whose features are computed, and the images that are drawn where none are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sslfast.config import DataConfig, EncoderConfig
from sslfast.data import Source, open_source
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError

DRAWN = 256  # images of a kind
# Width and height of drawn images: Imagenette's at 160 pixels, COCO's, CIFAR's.
KINDS = {"photographs": (160, 160), "large photographs": (640, 480), "small images": (32, 32)}


@dataclass(frozen=True)
class FeaturesCase:
    """Images of one kind, the side that they are brought to, and an encoder.

    Attributes:
        kind: a key of KINDS.
        as_array: whether the images are decoded before.
        images: how many are embedded.
        batch_size: of the reference, to which few images are more than one batch.
    """

    kind: str
    side: int
    encoder: EncoderConfig
    images: int
    batch_size: int = 32
    as_array: bool = False

    @property
    def name(self) -> str:
        kind = f"{self.kind}, decoded" if self.as_array else self.kind
        width = "" if self.encoder.width == 1 else f", width {self.encoder.width:g}"
        return f"{kind} at {self.side}, {self.encoder.name}{width}"

    def data(self) -> DataConfig:
        return DataConfig(size=self.side)

    def build(self) -> Encoder:
        """Builds the encoder with random weights, the same each time."""
        torch.manual_seed(0)
        return build_encoder(self.encoder).eval()


NARROW = EncoderConfig(name="resnet18", stem="cifar", width=0.125)
CASES = [
    *(
        FeaturesCase("photographs", side, EncoderConfig(name=name), images)
        for side, name, images in (
            (224, "resnet18", 256),
            (224, "resnet50", 128),
            (128, "resnet18", 512),
            (128, "resnet50", 256),
        )
    ),
    FeaturesCase("large photographs", 224, EncoderConfig(name="resnet18"), 256),
    FeaturesCase("small images", 32, EncoderConfig(name="resnet18", stem="cifar"), 512),
    FeaturesCase("small images", 32, NARROW, 16_384, 256),
    FeaturesCase("small images", 32, NARROW, 16_384, 256, as_array=True),
]


def open_kind(kind: str, path: str | None, folder: Path) -> tuple[Source, str]:
    """Opens the images of a kind and their description: those of a path, else drawn ones in the folder."""
    if path:
        source = open_source(path)
        if source.paths is None:
            raise UsageError(f"{path}: expected image files, got an array")
        return source, f"{len(source)} files of {Path(path).name}"
    random, (width, height) = np.random.default_rng(0), KINDS[kind]
    folder = folder / kind
    folder.mkdir()
    for number in range(DRAWN):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        grain = random.normal(0, 8, (height, width, 3))
        pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) + grain
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=90)
    return open_source(str(folder)), f"none given: drawn ones of {width}x{height}"


def images_of(case: FeaturesCase, source: Source) -> Source:
    """Picks as many images of a source as the case has, some of them more than once where the source has fewer."""
    chosen = source.subset(np.resize(np.arange(len(source)), case.images))
    if not case.as_array:
        return chosen
    pixels = np.stack([np.asarray(source.image(index)) for index in range(min(len(source), case.images))])
    return Source(source.name, images=np.resize(pixels, (case.images, *pixels.shape[1:])))
