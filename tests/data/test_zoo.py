"""Every kind of image file is one image, whichever pipeline reads it, for training and for evaluation."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from sslfast.config import ViewConfig
from sslfast.data import LoaderSpec, Source, eval_batches, make_loader, open_source
from sslfast.data.draws.reference import sample_view
from sslfast.data.evaluation import resize_center_crop
from sslfast.data.sources.images import EXTENSIONS, read_rgb
from tests.data.photographs import CPU, SEED, SIZE, config, levels
from tests.data.zoo import write_zoo
from tests.data.zoo.specimen import HEIGHT, Specimen

NEEDS_DALI = pytest.mark.skipif(
    importlib.util.find_spec("nvidia.dali") is None, reason="NVIDIA DALI is not installed"
)
PIPELINES = ["resident", pytest.param("dali", marks=NEEDS_DALI)]
WHOLE = ViewConfig(scale=(0.2, 1), jitter=0, grayscale=0)


@dataclass(frozen=True)
class Zoo:
    source: Source
    specimens: list[Specimen]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("zoo")
    specimens = write_zoo(folder)
    source = open_source(str(folder))
    assert [path.name for path in source.paths or []] == [specimen.name for specimen in specimens]
    return Zoo(source, specimens)


def off_by(actual: Tensor, expected: Tensor) -> float:
    """Returns the largest difference in levels, beyond what fp32 rounds."""
    return (actual - expected).abs().max().item() - 0.01


def test_the_zoo_is_large_and_shows_every_extension(zoo: Zoo) -> None:
    assert len(zoo.specimens) >= 200
    assert {Path(specimen.name).suffix.lower() for specimen in zoo.specimens} == EXTENSIONS


def test_every_file_is_read_as_its_format_says(zoo: Zoo) -> None:
    wrong = []
    for path, specimen in zip(zoo.source.paths or [], zoo.specimens, strict=True):
        image = np.asarray(read_rgb(path)).astype(int)
        if image.shape != specimen.image.shape or abs(image - specimen.image).max() > specimen.tolerance:
            wrong.append(specimen.name)
    assert not wrong


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_file_is_evaluated_as_its_format_says(
    zoo: Zoo, pipeline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """At its own size where it has the usual one, else resized, where Pillow rounds once in each direction.

    No decoder says anything: what DALI cannot read is not given to it, since each failure costs a new pipeline.
    """
    seen, wrong = [], []
    for images, index in eval_batches(zoo.source, HEIGHT, config(pipeline=pipeline), 50, CPU):
        for image, i in zip(levels(images), index.tolist(), strict=True):
            specimen = zoo.specimens[i]
            expected = F.pil_to_tensor(resize_center_crop(Image.fromarray(specimen.image), HEIGHT)).float()
            rounding = 0 if min(specimen.image.shape[:2]) == HEIGHT else 2
            if off_by(image, expected) > specimen.tolerance + rounding:
                wrong.append(f"{specimen.name}: {off_by(image, expected):.0f} levels")
            seen.append(i)
    assert not wrong
    assert capfd.readouterr() == ("", "")
    assert seen == list(range(len(zoo.specimens)))
    assert not zoo.source.bad.reasons


@pytest.mark.parametrize(
    ("pipeline", "decode"),
    [
        ("resident", "once"),
        *(
            pytest.param(pipeline, decode, marks=NEEDS_DALI)
            for pipeline in ("dali", "dali_only")
            for decode in ("once", "region")
        ),
    ],
)
def test_every_file_is_trained_on_as_its_format_says(
    zoo: Zoo, pipeline: str, decode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where DALI crops, as it does on a GPU, it rounds, and repeats the edge where it shrinks."""
    by_dali = pipeline == "dali_only"
    compared = (..., slice(2, -2), slice(2, -2)) if by_dali else ...
    monkeypatch.setattr("sslfast.data.in_memory.PROBED", len(zoo.specimens))
    data = config(pipeline=pipeline, decode=decode, views=[WHOLE], batch_size=len(zoo.specimens))
    (batch,) = make_loader(LoaderSpec(zoo.source, data, SEED, CPU)).epoch(0)
    assert sorted(batch.index.tolist()) == list(range(len(zoo.specimens)))
    shown = [zoo.specimens[i] for i in batch.index]
    heights, widths = ([specimen.image.shape[axis] for specimen in shown] for axis in (0, 1))
    draws = sample_view(WHOLE, SEED, 0, batch.index.numpy(), 0, heights, widths)
    wrong = []
    for row, specimen in enumerate(shown):
        image = torch.from_numpy(specimen.image.copy()).permute(2, 0, 1).float()
        expected = F.resized_crop(image, *draws.boxes[row], [SIZE, SIZE], antialias=True)
        if draws.flip[row]:
            expected = F.horizontal_flip(expected)
        off = off_by(levels(batch.views[0][row])[compared], expected[compared])
        if off > specimen.tolerance + (0.5 if by_dali else 0):
            wrong.append(f"{specimen.name}: {off:.1f} levels")
    assert not wrong
