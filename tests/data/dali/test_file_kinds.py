"""Files of every kind through DALI beside Pillow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2 import functional as F

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.data import eval_batches
from tests.data.dali.kinds import KINDS, save_kinds
from tests.data.photographs import CPU, config, levels, loader, photographs


def test_every_kind_of_file_loads_as_pillow_loads_it(tmp_path: Path) -> None:
    """At their own size, so that only the decoding can differ: at most by rounding."""
    source = save_kinds(tmp_path)
    loaded = []
    for images, index in eval_batches(source, 32, config(pipeline="dali"), 5, CPU):
        for image, i in zip(images, index.tolist(), strict=True):
            expected = F.pil_to_tensor(F.center_crop(source.image(i), [32, 32])).float()
            difference = (levels(image) - expected).abs().max()
            assert difference < 1.01, f"{(source.paths or [])[i].name}: off by {difference:.0f} levels"
            loaded.append(i)
    assert loaded == list(range(len(KINDS)))
    assert not source.bad.reasons


def test_every_kind_of_file_trains(tmp_path: Path) -> None:
    source = save_kinds(tmp_path)
    indices = torch.cat([batch.index for batch in loader(source, batch_size=len(source)).epoch(0)])
    assert sorted(indices.tolist()) == list(range(len(KINDS)))
    assert not source.bad.reasons


def test_jpeg_with_bytes_after_its_end_is_whole(tmp_path: Path) -> None:
    source = photographs(tmp_path, count=4)
    path = (source.paths or [])[1]
    path.write_bytes(path.read_bytes() + b"appended by a camera")
    assert len(next(loader(source).epoch(0)).index.unique()) == 4
