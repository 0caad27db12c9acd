"""Photographs that Pillow's threads decode, where there is no DALI."""

import os
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.data import LoaderSpec, loader, make_loader, open_source, pipeline
from sslfast.data.draws.reference import sample_view
from sslfast.data.spec import threads_of_rank
from sslfast.data.streamed import StreamedLoader
from sslfast.errors import UsageError

CPU, SEED, SIZE = torch.device("cpu"), 3, 24
PLAIN = ViewConfig(jitter=0, grayscale=0)


@pytest.fixture
def folder(tmp_path):
    """Writes 19 photographs of several sizes, in two classes."""
    for i in range(19):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        path = tmp_path / "images" / str(i % 2) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((100 + 9 * (i % 5), 100 + 7 * (i % 4)), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "images"


def make(folder, rank=0, world_size=1, dtype=torch.float32, **changes):
    settings = {"size": SIZE, "batch_size": 4, "pipeline": "pillow", "views": [PLAIN, PLAIN], "mean": (0, 0, 0)}
    data = DataConfig(**{**settings, "std": (1, 1, 1), **changes})
    source = open_source(folder, max_bad=0.5)
    return make_loader(LoaderSpec(source, data, SEED, CPU, rank, world_size, dtype))


def assert_equal(batches, others):
    batches, others = list(batches), list(others)
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert torch.equal(batch.index, other.index)
        assert torch.equal(batch.label, other.label)
        assert all(map(torch.equal, (*batch.views, *batch.boxes), (*other.views, *other.boxes)))


def test_views_equal_torchvisions(folder):
    source = open_source(folder)
    for batch in make(folder).epoch(1):
        images = [source.image(i) for i in batch.index.tolist()]
        assert batch.label.tolist() == source.labels[batch.index.numpy()].tolist()
        heights, widths = np.array([(image.height, image.width) for image in images]).T
        for number, view in enumerate(batch.views):
            draws = sample_view(PLAIN, SEED, 1, batch.index.numpy(), number, heights, widths)
            for row, image in enumerate(images):
                pixels = F.pil_to_tensor(image).float()
                expected = F.resized_crop(pixels, *draws.boxes[row], [SIZE, SIZE], antialias=True)
                expected = F.horizontal_flip(expected) if draws.flip[row] else expected
                torch.testing.assert_close(255 * view[row], expected, atol=0.01, rtol=0)


def test_batches_are_those_that_dali_reads(folder):
    pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")
    assert_equal(make(folder).epoch(0), make(folder, pipeline="dali").epoch(0))


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 5}, {"prefetch": 1}, {"prefetch": 7}], ids=str)
def test_batches_depend_on_nothing_but_seed_epoch_and_step(folder, changes):
    first = make(folder)
    list(first.epoch(0))
    assert_equal(make(folder, **changes).epoch(2, start=1), list(first.epoch(2))[1:])


def test_ranks_share_a_batch(folder):
    whole = list(make(folder).epoch(0))
    for rank in range(2):
        for batch, part in zip(whole, make(folder, rank, 2).epoch(0), strict=True):
            assert torch.equal(part.views[0], batch.views[0][2 * rank : 2 * rank + 2])


def test_views_come_in_the_precision_of_the_run(folder):
    (narrow, *_), (exact, *_) = (list(make(folder, dtype=dtype).epoch(0)) for dtype in (torch.half, torch.float))
    assert torch.equal(narrow.views[1], exact.views[1].half())


def test_a_file_that_is_damaged_behind_its_header_gives_way_to_another(folder):
    """Whether that is known, or turns out as it is decoded."""
    damaged = folder / "0" / "004.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    stream = make(folder)
    met, known = list(stream.epoch(0)), list(stream.epoch(0))
    assert [path.name for path in stream.spec.source.bad.reasons] == ["004.png"]
    assert_equal(met, known)
    assert all(len(set(batch.index.tolist())) == 4 for batch in met)


def test_too_many_damaged_files_end_the_epoch(folder):
    for path in (folder / "0").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    for path in sorted((folder / "1").iterdir())[:3]:
        path.write_bytes(b"")
    with pytest.raises(UsageError, match="images cannot be read, more than max_bad=0.5 allows"):
        list(make(folder).epoch(0))


def test_an_epoch_that_is_left_early_leaves_no_thread(folder):
    before = threading.active_count()
    stream = make(folder, workers=2)
    batches = stream.epoch(0)
    next(batches)
    batches.close()
    del stream
    assert threading.active_count() == before


def test_the_thread_that_takes_a_batch_copies_it_to_the_device(folder, monkeypatch):
    """Another would have the copies wait for all that trains before them, and would know no current device."""
    copies, to = [], torch.Tensor.to

    def noted(tensor, *args, **kwargs):
        if args and args[0] == torch.device("meta"):
            copies.append((threading.current_thread(), kwargs))
        return to(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    data = DataConfig(size=SIZE, batch_size=4, pipeline="pillow", views=[PLAIN, PLAIN])
    batch = next(make_loader(LoaderSpec(open_source(folder), data, SEED, torch.device("meta"))).epoch(0))
    tensors = [*batch.views, batch.index, batch.label, *batch.boxes]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert copies == [(threading.current_thread(), {"non_blocking": True})] * len(tensors)


def test_auto_is_pillow_where_there_is_no_dali(folder, monkeypatch):
    monkeypatch.setattr(pipeline, "has_dali", lambda: False)
    monkeypatch.setattr(loader, "has_dali", lambda: False)
    assert isinstance(make(folder, pipeline="auto"), StreamedLoader)
    for by_dali in ("dali", "dali_only"):
        with pytest.raises(UsageError, match=rf"data.pipeline={by_dali} reads .* DALI, .*missing: pip"):
            make(folder, pipeline=by_dali)


def test_threads_are_a_ranks_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert [threads_of_rank(size) for size in (1, 2, 3, 64)] == [16, 8, 5, 1]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # of 64 ranks on 16 machines
    assert threads_of_rank(64) == 4
