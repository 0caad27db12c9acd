"""Several processes share an epoch: their parts of a batch, one after the other, are one process's batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.config import ViewConfig
from sslfast.data import LoaderSpec, Source, eval_batches, evaluation, make_loader
from sslfast.data.batch import Batch
from sslfast.errors import UsageError
from tests.data.photographs import CPU, SEED, assert_equal_batches, config, cut, photographs

VIEWS = [ViewConfig(blur=0.5), ViewConfig(size=16)]


def epoch(source: Source, rank: int = 0, world_size: int = 1, start: int = 0, **changes: object) -> list[Batch]:
    data = config(**{"batch_size": 6, "views": VIEWS, **changes})
    return list(make_loader(LoaderSpec(source, data, SEED, CPU, rank, world_size)).epoch(1, start))


def joined(parts: Sequence[Sequence[Batch]]) -> list[Batch]:
    """Joins the batches of all ranks, the first rank's rows first."""

    def join(batches: Sequence[Batch]) -> Batch:
        views = tuple(torch.cat(views) for views in zip(*(batch.views for batch in batches), strict=True))
        return dataclasses.replace(batches[0], views=views, index=torch.cat([batch.index for batch in batches]))

    return [join(batches) for batches in zip(*parts, strict=True)]


@pytest.mark.parametrize("pipeline", ["resident", "dali", "dali_only"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_the_ranks_parts_are_the_batch(tmp_path: Path, pipeline: str, world_size: int) -> None:
    source = photographs(tmp_path)
    whole = epoch(source, pipeline=pipeline)
    parts = [epoch(source, rank, world_size, pipeline=pipeline) for rank in range(world_size)]
    assert all(len(batch.index) == 6 // world_size for part in parts for batch in part)
    assert_equal_batches(joined(parts), whole)


@pytest.mark.parametrize("pipeline", ["resident", "dali"])
def test_a_rank_resumes(tmp_path: Path, pipeline: str) -> None:
    source = photographs(tmp_path)
    whole = epoch(source, 1, 2, pipeline=pipeline)
    assert_equal_batches(epoch(source, 1, 2, start=2, pipeline=pipeline), whole[2:])


@pytest.mark.parametrize("extension", ["jpg", "png"])  # headers tell that a JPEG is cut, of a PNG decoding does
def test_unreadable_files_leave_the_ranks_in_step(tmp_path: Path, extension: str) -> None:
    """Substitutes too are the same as in one process, and nothing is twice in a batch."""
    source = photographs(tmp_path, extension=extension)
    order = torch.cat([batch.index for batch in epoch(source, pipeline="dali")]).tolist()
    assert source.paths is not None
    for position in (0, 1, 6, 13):  # position 6 would have taken the place of position 0
        cut(source.paths[order[position]])
    whole = epoch(source, pipeline="dali")
    assert all(len(batch.index.unique()) == 6 for batch in whole)
    assert whole[0].index.tolist()[:2] == [order[12], order[7]]
    parts = [epoch(source, rank, 3, pipeline="dali") for rank in range(3)]
    assert_equal_batches(joined(parts), whole)


@pytest.mark.parametrize("pipeline", ["resident", "dali"])
def test_a_batch_that_cannot_be_shared(tmp_path: Path, pipeline: str) -> None:
    with pytest.raises(UsageError, match="data.batch_size=6: expected a multiple of the 4 processes"):
        epoch(photographs(tmp_path), 0, 4, pipeline=pipeline)


@pytest.mark.parametrize("reader", ["dali", "pillow", "array"])
@pytest.mark.parametrize("world_size", [2, 3, 11])
def test_evaluation_shares_the_images_without_a_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, world_size: int
) -> None:
    source = photographs(tmp_path, count=10, extension="png")
    if reader == "array":
        images = np.stack([np.asarray(source.image(i).resize((32, 32))) for i in range(10)])
        source = Source("array", images=images)
    else:
        assert source.paths is not None
        cut(source.paths[4])
    monkeypatch.setattr(evaluation, "has_dali", lambda: reader == "dali")
    data = config(pipeline="dali")
    whole = list(eval_batches(source, 16, data, 100, CPU))
    parts = [list(eval_batches(source, 16, data, 2, CPU, rank, world_size)) for rank in range(world_size)]
    index = torch.cat([index for part in parts for _, index in part])
    assert index.tolist() == whole[0][1].tolist() == [i for i in range(10) if i != 4 or reader == "array"]
    assert torch.equal(torch.cat([images for part in parts for images, _ in part]), whole[0][0])
