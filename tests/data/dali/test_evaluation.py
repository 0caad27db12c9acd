"""The DALI evaluation pipeline."""

from __future__ import annotations

import ctypes
import gc
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.data import eval_batches
from sslfast.data.dali import runner
from sslfast.data.dali.evaluation import _evaluation_arguments
from sslfast.data.dali.memory import release_memory
from sslfast.data.dali.runner import Runner
from sslfast.data.evaluation import resize_center_crop
from tests.data.photographs import CPU, SIZE, config, cut, levels, photographs

DALI = config(pipeline="dali")


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8, 20])
def test_evaluation_covers_each_image_once_in_order(tmp_path: Path, batch_size: int) -> None:
    source = photographs(tmp_path, count=8)
    batches = list(eval_batches(source, SIZE, DALI, batch_size, CPU))
    assert [len(index) for _, index in batches] == [min(batch_size, 8 - i) for i in range(0, 8, batch_size)]
    assert torch.cat([index for _, index in batches]).tolist() == list(range(8))
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in batches)


@pytest.mark.parametrize("size", [16, 38, 64])  # the images shrink, keep their size, grow
def test_evaluation_resizes_and_crops_as_torchvision(tmp_path: Path, size: int) -> None:
    source = photographs(tmp_path, count=8)
    for images, index in eval_batches(source, size, DALI, 3, CPU):
        for image, i in zip(images, index.tolist(), strict=True):
            tensor = F.pil_to_tensor(resize_center_crop(source.image(i), size)).float()
            # Pillow rounds twice, once in each direction.
            torch.testing.assert_close(levels(image), tensor, atol=2.01, rtol=0)


def test_evaluation_leaves_bad_files_out(tmp_path: Path) -> None:
    source = photographs(tmp_path, count=9, extension="png")
    for i in (1, 3, 4, 5):
        cut((source.paths or [])[i])
    batches = list(eval_batches(source, SIZE, DALI, 3, CPU))
    assert [index.tolist() for _, index in batches] == [[0, 2], [6, 7, 8]]
    assert len(source.bad) == 4


def test_an_evaluation_leaves_no_pipeline_and_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it ends, is left early or meets a bad file; before any garbage is collected.

    And what they have freed goes back to the system, when they have freed it.
    """
    pipelines: weakref.WeakSet[object] = weakref.WeakSet()
    build = Runner._build

    def spy(*arguments: Any, **options: Any) -> Any:
        pipeline = build(*arguments, **options)
        pipelines.add(pipeline)
        return pipeline

    alive_at_release: list[int] = []
    monkeypatch.setattr(Runner, "_build", spy)
    monkeypatch.setattr(runner, "release_memory", lambda: alive_at_release.append(len(pipelines)))
    source = photographs(tmp_path, count=8, extension="png")
    before = threading.active_count()
    gc.disable()
    try:
        list(eval_batches(source, SIZE, DALI, 3, CPU))
        assert (len(pipelines), threading.active_count()) == (0, before)
        next(eval_batches(source, SIZE, DALI, 3, CPU))
        assert (len(pipelines), threading.active_count()) == (0, before)
        cut((source.paths or [])[4])
        list(eval_batches(source, SIZE, DALI, 3, CPU))
        assert len(source.bad) == 1
        assert (len(pipelines), threading.active_count()) == (0, before)
        assert alive_at_release == [0, 0, 0]
    finally:
        gc.enable()


@pytest.mark.parametrize("functions", [("malloc_trim",), ()], ids=["glibc", "another"])
def test_memory_is_released_where_the_c_library_can(
    functions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []  # bytes that glibc was told to keep
    library = SimpleNamespace(**dict.fromkeys(functions, kept.append))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    release_memory()
    assert kept == [0] * len(functions)


def test_of_a_strip_only_the_middle_is_resized() -> None:
    """By its shorter side, 1 x 5000 would become 224 x 1,120,000."""
    shapes = np.array([[1, 5000], [5000, 2], [80, 10]])
    start, end, resized, crop = _evaluation_arguments(shapes, 224)
    assert start.tolist() == [[0, 2496], [2492, 0], [0, 0]]
    assert end.tolist() == [[1, 2504], [2508, 2], [80, 10]]
    assert resized.tolist() == [[224, 1792], [1792, 224], [1792, 224]]
    assert crop.tolist() == [[0, 784], [784, 0], [784, 0]]
