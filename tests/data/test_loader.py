"""Loaders: what a batch holds, resuming, unreadable files, the choice of a pipeline, evaluation."""

import dataclasses
import logging
from itertools import islice

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.data import Source, eval_batches, load_small, loader, make_loader, open_source, split
from sslfast.data.draws.reference import draw_view
from sslfast.data.resident import ResidentLoader
from sslfast.errors import UsageError
from sslfast.kernels import view_augment

CPU = torch.device("cpu")
SEED = 3


def config(**changes):
    return DataConfig(**{"size": 16, "batch_size": 4, **changes})


@pytest.fixture
def source():
    images = np.random.default_rng(0).integers(0, 256, (18, 20, 24, 3), dtype=np.uint8)
    return Source("noise", labels=np.arange(18) % 3, classes=["a", "b", "c"], images=images)


def tensors(batch):
    return [*batch.views, batch.index, *([] if batch.label is None else [batch.label])]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_a_batch(source):
    batches = list(make_loader(source, config(views=[ViewConfig()] * 3), SEED, CPU).epoch(0))
    assert len(batches) == make_loader(source, config(), SEED, CPU).steps_per_epoch == 4
    for batch in batches:
        assert len(batch.views) == 3
        for view in batch.views:
            assert view.shape == (4, 3, 16, 16)
            assert view.dtype == torch.float32
            assert view.is_contiguous(memory_format=torch.channels_last)
        assert batch.index.dtype == batch.label.dtype == torch.int64
        assert torch.equal(batch.label, torch.from_numpy(source.labels)[batch.index])
    index = torch.cat([batch.index for batch in batches])
    assert len(index.unique()) == 16  # each image at most once, the incomplete batch left out


def test_views_are_the_draws_of_their_image(source):
    """Each of its own size."""
    data = config(views=[ViewConfig(), ViewConfig(blur=1.0, size=24), ViewConfig(solarize=1.0, size=8)])
    epoch = 2
    batch = list(make_loader(source, data, SEED, CPU).epoch(epoch))[1]
    images = torch.from_numpy(source.images)[batch.index]
    for number, (view, size) in enumerate(zip(data.views, (16, 24, 8), strict=True)):
        draws = draw_view(view, SEED, epoch, batch.index.numpy(), number, 20, 24)
        table = torch.from_numpy(draws.table())
        expected = view_augment(images, table, size=size, mean=data.mean, std=data.std)
        assert torch.equal(batch.views[number], expected)


def test_views_in_bf16_are_those_of_fp32_rounded(source):
    exact, rounded = (make_loader(source, config(), SEED, CPU, dtype=d) for d in (torch.float32, torch.bfloat16))
    for batch, other in zip(exact.epoch(0), rounded.epoch(0), strict=True):
        for view, in_bf16 in zip(batch.views, other.views, strict=True):
            assert torch.equal(in_bf16, view.bfloat16())
            assert in_bf16.is_contiguous(memory_format=torch.channels_last)


def test_views_differ(source):
    batch = next(make_loader(source, config(), SEED, CPU).epoch(0))
    assert not torch.equal(*batch.views)


def test_an_epoch_resumes_bit_for_bit(source):
    whole = list(make_loader(source, config(), SEED, CPU).epoch(1))
    fresh = make_loader(source, config(), SEED, CPU)
    list(islice(fresh.epoch(0), 2))  # what was asked before does not matter
    for start in range(5):
        tail = list(fresh.epoch(1, start))
        assert len(tail) == 4 - start
        assert all(map(equal, tail, whole[start:]))


def test_epochs_and_seeds_differ(source):
    def index(seed, epoch):
        return torch.cat([batch.index for batch in make_loader(source, config(), seed, CPU).epoch(epoch)])

    assert torch.equal(index(0, 0), index(0, 0))
    assert not torch.equal(index(0, 0), index(0, 1))
    assert not torch.equal(index(0, 0), index(1, 0))


def test_files_and_array_give_the_same_batches(make_folder):
    files = open_source(str(make_folder()))
    array = load_small(files, config(), CPU)
    assert array.paths is None
    from_files, from_array = (list(make_loader(s, config(), 0, CPU).epoch(0)) for s in (files, array))
    assert len(from_files) == len(from_array) == 2
    assert all(map(equal, from_files, from_array))


def test_unlabelled(source):
    source.labels = None
    assert next(make_loader(source, config(), SEED, CPU).epoch(0)).label is None


def test_unreadable_files_are_named_counted_and_skipped(make_folder, caplog):
    root = make_folder(per_class=10)
    (root / "cat" / "003.png").write_bytes(b"")
    source = open_source(str(root), max_bad=0.1)
    with caplog.at_level(logging.WARNING):
        batches = list(make_loader(source, config(batch_size=19), SEED, CPU).epoch(0))
    (record,) = caplog.records
    assert "cat/003.png" in record.getMessage()
    assert len(source.bad) == 1
    (batch,) = batches
    bad = [path.parts[-2:] for path in source.paths].index(("cat", "003.png"))
    assert sorted(batch.index.tolist()) == [i for i in range(20) if i != bad]
    assert torch.equal(batch.label, torch.from_numpy(source.labels)[batch.index])


def test_too_many_unreadable_files_stop(make_folder):
    root = make_folder(per_class=10)
    for i in range(3):
        (root / "cat" / f"{i:03}.png").write_bytes(b"")
    source = open_source(str(root), max_bad=0.1)
    with pytest.raises(UsageError, match=r"3 of 20 images cannot be read, more than max_bad=0.1 allows.*cat"):
        make_loader(source, config(), SEED, CPU)


def test_max_bad_counts_against_the_limited_set(make_folder):
    source = open_source(str(make_folder(per_class=10)), limit=4, max_bad=0.25)
    assert (source.bad.total, source.bad.max_share) == (4, 0.25)


def test_fewer_images_than_a_batch(source):
    with pytest.raises(UsageError, match="18 images are fewer than one batch of 19; set data.batch_size to 18"):
        make_loader(source, config(batch_size=19), SEED, CPU)


def test_fewer_readable_images_than_a_batch(make_folder):
    root = make_folder(per_class=2)
    (root / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(UsageError, match="3 images are fewer than one batch of 4"):
        make_loader(open_source(str(root), max_bad=1), config(), SEED, CPU)


def test_parts_of_a_split_are_loaded_each_without_its_unreadable_files(make_folder):
    root = make_folder(per_class=10)
    (root / "cat" / "003.png").write_bytes(b"")
    files = split(open_source(str(root), max_bad=0.1), 0.2)
    for part in files:
        array = load_small(part, config(), CPU)
        readable = [i for i, path in enumerate(part.paths) if path.stat().st_size]
        assert (array.labels == part.labels[readable]).all()
        assert all((array.images[row] == np.asarray(part.image(i))).all() for row, i in enumerate(readable))
    assert len(files[0].bad) == 1


def test_a_part_without_images_is_loaded(make_folder):
    train, val = (load_small(part, config(), CPU) for part in split(open_source(str(make_folder())), 0))
    assert (len(train), len(val)) == (8, 0)


def test_images_of_several_sizes_are_kept_square(make_folder, make_image):
    root = make_folder(size=(24, 20))
    make_image(root / "dog" / "wide.png", size=(60, 30))
    make_image(root / "dog" / "tall.png", size=(10, 40))
    array = load_small(open_source(str(root)), config(), CPU)
    assert array.images.shape == (10, 30, 30, 3)


def test_images_of_one_size_are_kept_exactly(make_folder):
    source = open_source(str(make_folder(size=(24, 20))))
    array = load_small(source, config(), CPU)
    assert array.images.shape == (8, 20, 24, 3)
    assert all((array.images[i] == np.asarray(source.image(i))).all() for i in range(8))


def test_auto_keeps_small_images_and_hands_large_ones_to_dali(make_folder, tmp_path, monkeypatch):
    small = open_source(str(make_folder()))
    large = open_source(str(make_folder(size=(200, 150), root=tmp_path / "large")))
    assert isinstance(make_loader(small, config(), SEED, CPU), ResidentLoader)
    assert isinstance(make_loader(large, config(pipeline="resident"), SEED, CPU), ResidentLoader)
    assert load_small(large, config(), CPU) is large
    monkeypatch.setattr(loader, "_has_dali", lambda: False)
    with pytest.raises(UsageError, match="pip install nvidia-dali-cuda130"):
        make_loader(large, config(), SEED, CPU)
    with pytest.raises(UsageError, match="pip install nvidia-dali-cuda130"):
        make_loader(small, config(pipeline="dali"), SEED, CPU)


def test_dali_cannot_read_an_array(source):
    with pytest.raises(UsageError, match="data.pipeline=dali reads files"):
        make_loader(source, config(pipeline="dali"), SEED, CPU)


def test_resident_must_fit(make_folder, monkeypatch):
    monkeypatch.setattr("sslfast.data.in_memory._room", lambda device: 8 * 16 * 16 * 3 - 1)
    source = open_source(str(make_folder()))
    with pytest.raises(UsageError, match="8 images of 16x16 take .* set data.pipeline=dali or data.limit"):
        make_loader(source, config(pipeline="resident"), SEED, CPU)


@pytest.mark.parametrize(("width", "height", "target"), [(200, 150, 37), (34, 50, 34), (20, 24, 32)])
def test_evaluation_resizes_and_crops_as_torchvision(make_folder, monkeypatch, width, height, target):
    """The shorter side goes into [32, 37]: larger images to 37, smaller ones to 32, others as they are."""
    monkeypatch.setattr(loader, "_has_dali", lambda: False)
    source, data = open_source(str(make_folder(size=(width, height)))), config()
    ((images, index),) = eval_batches(source, 32, data, 100, CPU)
    assert index.tolist() == list(range(8))
    for i, image in enumerate(images):
        resized = F.resize(source.image(i), [target]) if target != min(width, height) else source.image(i)
        expected = F.normalize(F.to_image(F.center_crop(resized, [32, 32])) / 255, data.mean, data.std)
        torch.testing.assert_close(image, expected)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_sees_each_readable_image_once_in_order(make_folder, caplog):
    root = make_folder(per_class=300)
    (root / "cat" / "007.png").write_bytes(b"")
    batches = list(eval_batches(open_source(str(root)), 8, config(), 250, CPU))
    assert [len(index) for _, index in batches] == [250, 250, 99]
    assert torch.cat([index for _, index in batches]).tolist() == [i for i in range(600) if i != 7]
    assert "cat/007.png" in caplog.text


def test_evaluation_may_be_left_early(make_folder):
    source = open_source(str(make_folder(per_class=200)))
    images, _ = next(eval_batches(source, 8, config(), 10, CPU))
    assert len(images) == 10


def test_the_configured_views_are_not_changed(source):
    data = config()
    before = dataclasses.asdict(data)
    next(make_loader(source, data, SEED, CPU).epoch(0))
    assert dataclasses.asdict(data) == before


@pytest.mark.parametrize(
    ("height", "width", "cut"),
    [
        (16, 16, True),
        (17, 18, True),
        (16, 23, True),
        (18, 21, True),
        (16, 140, False),
        (19, 19, False),
        (15, 16, False),
    ],
)
def test_an_array_that_is_only_to_be_cut_is_cut_as_images_are(height, width, cut, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, height, width, 3), dtype=np.uint8)
    source = Source("pictures", images=images)
    assert loader._is_to_cut(source, 16) == cut
    batches = list(eval_batches(source, 16, config(), 3, CPU))
    monkeypatch.setattr(loader, "_is_to_cut", lambda *_: False)
    for (got, index), (want, position) in zip(batches, eval_batches(source, 16, config(), 3, CPU), strict=True):
        assert torch.equal(got, want)
        assert torch.equal(index, position)
        assert got.is_contiguous(memory_format=torch.channels_last)
