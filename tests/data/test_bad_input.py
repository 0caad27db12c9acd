"""Images, names and links that a folder may hold and a loader must get along with, whatever its pipeline."""

import importlib.util
import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image

from sslfast.config import DataConfig, ViewConfig
from sslfast.data import LoaderSpec, eval_batches, make_loader, open_source
from sslfast.errors import UsageError

CPU = torch.device("cpu")
NEEDS_DALI = pytest.mark.skipif(
    importlib.util.find_spec("nvidia.dali") is None, reason="NVIDIA DALI is not installed"
)
PIPELINES = ["resident", pytest.param("dali", marks=NEEDS_DALI), pytest.param("dali_only", marks=NEEDS_DALI)]
RED, BLUE = (200, 0, 0), (0, 0, 200)


def config(pipeline, **changes):
    identity = {"mean": (0, 0, 0), "std": (1, 1, 1), "views": [ViewConfig(jitter=0, grayscale=0)] * 2}
    return DataConfig(**{"size": 16, "batch_size": 8, "pipeline": pipeline, **identity, **changes})


def epoch(source, data):
    return list(make_loader(LoaderSpec(source, data, 0, CPU)).epoch(0))


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)], ids=str)
def test_the_smallest_images_and_strips(make_folder, pipeline, shape):
    """A strip's center is what an evaluation looks at."""
    root = make_folder(size=(40, 30))
    pixels = np.full((*shape, 3), BLUE, dtype=np.uint8)
    middle = tuple(slice(max(0, side // 2 - 10), side // 2 + 10) for side in shape)
    pixels[middle] = RED
    Image.fromarray(pixels).save(root / "cat" / "000.png")
    source = open_source(str(root))

    (batch,) = epoch(source, config(pipeline))
    assert sorted(batch.index.tolist()) == list(range(8))
    for view in batch.views:
        assert view.shape == (8, 3, 16, 16)
        assert view.isfinite().all()
        levels = 255 * view[batch.index == 0]
        assert 195 < levels.sum(1).mean() < 205  # red, blue, or both: 200 in all

    ((images, index),) = eval_batches(source, 16, config(pipeline), 8, CPU)
    assert index.tolist() == list(range(8))
    expected = torch.tensor(RED).view(3, 1, 1).expand(3, 16, 16).float()
    torch.testing.assert_close(255 * images[0], expected, atol=1, rtol=0)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_names_that_are_not_utf_8(make_folder, caplog, pipeline):
    root = make_folder(size=(40, 30))
    odd = os.fsdecode(b"caf\xe9")
    (root / "cat").rename(root / odd)
    for number in range(2):
        (root / odd / f"00{number}.png").rename(root / odd / f"{odd}{number}.png")
    bad = root / odd / f"{odd}.png"
    bad.write_bytes(b"")
    source = open_source(str(root), max_bad=0.2)
    assert source.classes == [odd, "dog"]
    with caplog.at_level(logging.WARNING):
        (batch,) = epoch(source, config(pipeline))
    position = source.paths.index(bad)
    assert sorted(batch.index.tolist()) == [i for i in range(9) if i != position]
    assert list(source.bad.reasons) == [bad]
    (record,) = caplog.records
    assert r"caf\xe9/caf\xe9.png, unreadable file 1 among 9 images" in record.getMessage()
    record.getMessage().encode()  # so it can be written to the log


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_link_to_itself_is_an_unreadable_file(make_folder, pipeline):
    root = make_folder(size=(40, 30))
    loop = root / "cat" / "loop.png"
    loop.symlink_to(loop)
    source = open_source(str(root), max_bad=0.2)
    (batch,) = epoch(source, config(pipeline))
    assert len(batch.index.unique()) == 8
    assert list(source.bad.reasons) == [loop]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_on_error_stop_names_the_first_unreadable_file(make_folder, pipeline, damage):
    root = make_folder(per_class=5, size=(40, 30))
    path = root / "dog" / "002.png"
    path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:200])
    for _ in range(2):  # each time anew
        source = open_source(str(root), on_error="stop", max_bad=1)
        with pytest.raises(
            UsageError, match=f"cannot read {path} .*or go on without it by on_error=skip"
        ) as caught:
            epoch(source, config(pipeline, batch_size=10))
        assert "\n" not in str(caught.value)
        with pytest.raises(UsageError, match=f"cannot read {path}"):
            list(eval_batches(source, 16, config(pipeline), 4, CPU))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_by_default_more_than_one_in_a_hundred_stops(make_folder, pipeline):
    root = make_folder(per_class=50, size=(20, 20))
    (root / "cat" / "000.png").write_text("no image")
    assert len(epoch(open_source(str(root)), config(pipeline, batch_size=30))) == 3
    (root / "cat" / "010.png").write_text("no image")
    with pytest.raises(UsageError, match="2 of 100 images cannot be read, more than max_bad=0.01 allows"):
        epoch(open_source(str(root)), config(pipeline, batch_size=30))
