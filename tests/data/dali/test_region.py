"""Decoding only the part of a photograph that its crops lie in: the same batches as of whole ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.config import ViewConfig
from sslfast.data.dali.graphs import region_arguments
from sslfast.data.draws.reference import sample_view
from sslfast.data.sources import open_source
from tests.data.dali.bad_kinds import BAD_KINDS
from tests.data.photographs import GEOMETRY_ONLY, SEED, assert_equal_batches, loader, photographs
from tests.data.zoo import write_zoo

SMALL = ViewConfig(scale=(0.02, 0.1), jitter=0, grayscale=0)


@pytest.mark.parametrize("views", [[SMALL], [SMALL, GEOMETRY_ONLY]], ids=["one view", "two views"])
def test_every_kind_of_file_gives_the_same_views(tmp_path: Path, views: list[ViewConfig]) -> None:
    """Turned by EXIF or decoded by Pillow, too."""
    changes = {"batch_size": len(write_zoo(tmp_path)), "views": views}
    source = open_source(str(tmp_path))
    whole, parts = (list(loader(source, decode=decode, **changes).epoch(0)) for decode in ("once", "region"))
    assert_equal_batches(parts, whole)


def test_the_whole_augmentation_in_dali_takes_parts(tmp_path: Path) -> None:
    changes = {"pipeline": "dali_only", "views": [ViewConfig(scale=(0.02, 0.1)), ViewConfig(blur=0.5)]}
    source = photographs(tmp_path)
    whole, parts = (list(loader(source, decode=decode, **changes).epoch(0)) for decode in ("once", "region"))
    assert_equal_batches(parts, whole)


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_whether_a_file_can_be_read_does_not_depend_on_the_part(tmp_path: Path, kind: str) -> None:
    extension, break_file = BAD_KINDS[kind]
    source = photographs(tmp_path, extension=extension)
    assert source.paths is not None
    break_file(source.paths[11])
    whole = list(loader(source, views=[SMALL]).epoch(1))
    assert list(source.bad.reasons) == [source.paths[11]]
    source.bad.reasons.clear()
    assert_equal_batches(list(loader(source, views=[SMALL], decode="region").epoch(1)), whole)
    assert list(source.bad.reasons) == [source.paths[11]]


def test_the_region_is_the_least_that_holds_all_crops() -> None:
    draws = tuple(sample_view(SMALL, 0, 0, np.arange(50), number, 300, 200) for number in range(3))
    size, upright = np.tile([300, 200], (50, 1)), np.ones(50, dtype=np.int64)
    (start, shape), _, inside = region_arguments(draws, size, upright)
    for sample in range(50):
        covered = np.zeros((300, 200), dtype=bool)
        for view, moved in zip(draws, inside, strict=True):
            top, left, height, width = view.boxes[sample]
            covered[top : top + height, left : left + width] = True
            assert moved.boxes[sample].tolist() == [top - start[sample, 0], left - start[sample, 1], height, width]
        rows, columns = (covered.any(axis=axis).nonzero()[0] for axis in (1, 0))
        assert start[sample].tolist() == [rows[0], columns[0]]
        assert shape[sample].tolist() == [rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]]


def test_a_batch_says_where_its_crops_lie_from_an_origin_that_views_share(tmp_path: Path) -> None:
    source, views = photographs(tmp_path), [SMALL, GEOMETRY_ONLY]
    assert source.paths is not None
    whole, parts = (
        next(iter(loader(source, decode=decode, views=views).epoch(1))) for decode in ("once", "region")
    )
    index = whole.index.numpy()
    widths, heights = np.array([Image.open(source.paths[i]).size for i in index]).T
    origins = []
    for number, (box, moved) in enumerate(zip(whole.boxes, parts.boxes, strict=True)):
        expected = sample_view(views[number], SEED, 1, index, number, heights, widths)
        assert box.tolist() == expected.crops().tolist()
        assert moved[:, 2:].equal(box[:, 2:])
        origins.append(box[:, :2] - moved[:, :2])
    assert origins[0].equal(origins[1])
    assert origins[0].any()
