"""Files that the DALI pipelines cannot read."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.data.dali.graphs import crop_graph
from sslfast.data.dali.runner import Plan, Runner
from sslfast.data.files import Files
from sslfast.data.sources import open_source
from sslfast.errors import UsageError
from tests.data.dali.bad_kinds import BAD_KINDS
from tests.data.photographs import CPU, SIZE, assert_equal_batches, cut, loader, photograph, photographs


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_bad_file_is_named_counted_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    extension, break_file = BAD_KINDS[kind]
    source = photographs(tmp_path, extension=extension)
    expected = list(loader(source).epoch(0))
    step, row = 2, 1
    bad = int(expected[step].index[row])
    assert source.paths is not None
    break_file(source.paths[bad])

    source = open_source(str(tmp_path), max_bad=0.5) if source.paths[bad].exists() else source
    with caplog.at_level(logging.WARNING):
        actual = list(loader(source).epoch(0))
    assert list(source.bad.reasons) == [source.paths[bad]]
    assert [str(source.paths[bad]) in record.getMessage() for record in caplog.records] == [True]

    substitute = int(actual[step].index[row])
    assert substitute == int(expected[step + 1].index[row])  # the same row of the next batch
    for a, e in zip(actual, expected, strict=True):
        kept = e.index != bad
        assert torch.equal(a.index[kept], e.index[kept])
        for view, other in zip(a.views, e.views, strict=True):
            assert torch.equal(view[kept], other[kept])


def test_bad_files_leave_a_resumed_epoch_the_same(tmp_path: Path) -> None:
    """Without a record of what was bad before, whether DALI or a header tells."""
    source = photographs(tmp_path, extension="png")
    order = torch.cat([batch.index for batch in loader(source).epoch(0)]).tolist()
    assert source.paths is not None
    for position in (1, 5, 9, 10):
        (cut if position != 9 else Path.unlink)(source.paths[order[position]])
    whole = list(loader(source).epoch(0))
    assert len(whole) == 4
    for start in range(4):
        assert_equal_batches(list(loader(source).epoch(0, start)), whole[start:])


def test_known_bad_files_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = photographs(tmp_path, extension="png")
    assert source.paths is not None
    cut(source.paths[7])
    subject = loader(source)
    first = list(subject.epoch(0))
    monkeypatch.setattr(Files, "examine", None)
    assert_equal_batches(list(subject.epoch(0)), first)


@pytest.mark.parametrize("pipeline", ["dali", "dali_only"])
@pytest.mark.parametrize("extension", ["jpg", "gif"])  # decoded by DALI, by Pillow
@pytest.mark.parametrize("known", [False, True])  # whether the header was read before
def test_file_that_vanishes_within_an_epoch(tmp_path: Path, pipeline: str, extension: str, known: bool) -> None:
    source = photographs(tmp_path, extension=extension)
    subject = loader(source, pipeline=pipeline, prefetch=1)
    expected = list(subject.epoch(0))
    vanishing = int(expected[3].index[2])
    subject = subject if known else loader(source, pipeline=pipeline, prefetch=1)
    batches = subject.epoch(0)
    actual = [next(batches)]
    assert source.paths is not None
    source.paths[vanishing].unlink()
    actual += batches
    assert_equal_batches(actual[:3], expected[:3])
    assert vanishing not in actual[3].index
    assert len(actual[3].index.unique()) == 4
    assert list(source.bad.reasons) == [source.paths[vanishing]]


@pytest.mark.parametrize("extension", ["jpg", "gif"])  # decoded by DALI, by Pillow
def test_file_that_vanishes_between_epochs(tmp_path: Path, extension: str) -> None:
    source = photographs(tmp_path, extension=extension)
    subject = loader(source)
    list(subject.epoch(0))
    assert source.paths is not None
    source.paths[7].unlink()
    indices = torch.cat([batch.index for batch in subject.epoch(1)])
    assert len(indices) == 16
    assert 7 not in indices
    assert list(source.bad.reasons) == [source.paths[7]]


def test_too_many_bad_files(tmp_path: Path) -> None:
    photographs(tmp_path, count=20)
    source = open_source(str(tmp_path), max_bad=0.1)
    assert source.paths is not None
    for path in source.paths[4:8]:
        cut(path)
    with pytest.raises(UsageError, match=r"3 of 20 images cannot be read, more than max_bad=0\.1"):
        list(loader(source).epoch(0))


def test_no_readable_file(tmp_path: Path) -> None:
    photographs(tmp_path, count=4)
    source = open_source(str(tmp_path), max_bad=1)
    for path in source.paths or []:
        cut(path)
    with pytest.raises(UsageError, match="none of the 4 images can be read"):
        list(loader(source).epoch(0))


def test_failure_without_a_bad_file_is_raised(tmp_path: Path) -> None:
    """A crop that leaves the image is a mistake of ours: it must neither hang nor be put down to the files."""
    files = Files(photographs(tmp_path, count=4), threads=1)

    def plan(step: int) -> Plan:
        indices = np.arange(4)
        files.readable(indices)
        outside = np.full((4, 2), 1000, dtype=np.int32)
        return Plan(step, indices, [outside, outside, np.zeros(4, dtype=np.int32)])

    def graph(*arguments: object, **options: object) -> object:
        return crop_graph(*arguments, sizes=[SIZE], region=False, **options)

    runner = Runner(graph, files, CPU, batch_size=4, threads=1, prefetch=1)
    with pytest.raises(RuntimeError, match="out of bounds"):
        list(runner.run(plan, range(1)))
    assert not files.source.bad.reasons


def test_file_whose_header_misleads_is_left_to_pillow(tmp_path: Path) -> None:
    source = photographs(tmp_path, count=4, extension="png")
    subject = loader(source)
    expected = list(subject.epoch(0))
    subject.files.heights[2] += 500
    subject.files.widths[2] += 500
    assert_equal_batches(list(subject.epoch(0)), expected)
    assert not source.bad.reasons


@pytest.mark.parametrize("extension", ["jpg", "gif"])  # decoded by DALI, by Pillow
def test_file_that_has_become_another_image_is_read_as_that(tmp_path: Path, extension: str) -> None:
    source = photographs(tmp_path, count=4, extension=extension)
    subject = loader(source)
    subject.files.readable(np.arange(4))
    photograph(9, 90, 33).save((source.paths or [])[2])
    actual, expected = list(subject.epoch(0)), list(loader(source).epoch(0))
    for batch, other in zip(actual, expected, strict=True):
        assert torch.equal(batch.index, other.index)
        for view, like in zip(batch.views, other.views, strict=True):
            torch.testing.assert_close(view, like, atol=1.01 / 255, rtol=0)  # JPEGs' decoders round
    assert not source.bad.reasons
