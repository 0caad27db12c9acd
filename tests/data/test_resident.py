"""The pipeline of small images: what a batch holds, resuming, unreadable files."""

import dataclasses
import logging
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from sslfast.benchmarks.views.pipelines import transform
from sslfast.config import DataConfig, ViewConfig
from sslfast.data import LoaderSpec, Source, load_small, open_source
from sslfast.data.draws.reference import sample_view
from sslfast.data.resident import ResidentLoader
from sslfast.errors import UsageError
from sslfast.kernels import view_augment

CPU = torch.device("cpu")
SEED = 3


def config(**changes):
    return DataConfig(**{"size": 16, "batch_size": 4, **changes})


def loader(source, data=None, seed=SEED, **changes):
    return ResidentLoader(LoaderSpec(source, data or config(), seed, CPU, **changes))


@pytest.fixture
def source():
    images = np.random.default_rng(0).integers(0, 256, (18, 20, 24, 3), dtype=np.uint8)
    return Source("noise", labels=np.arange(18) % 3, classes=["a", "b", "c"], images=images)


def tensors(batch):
    return [*batch.views, batch.index, *([] if batch.label is None else [batch.label])]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_a_batch_says_where_its_crops_lie(source):
    data = config(views=[ViewConfig(), ViewConfig(size=8)])
    batch = next(iter(loader(source, data).epoch(2)))
    assert len(batch.boxes) == 2
    for number, boxes in enumerate(batch.boxes):
        draws = sample_view(data.views[number], SEED, 2, batch.index.numpy(), number, 20, 24)
        assert torch.equal(boxes[:, :4].long(), torch.from_numpy(draws.boxes))
        assert torch.equal(boxes[:, 4].bool(), torch.from_numpy(draws.flip))


def test_a_batch(source):
    batches = list(loader(source, config(views=[ViewConfig()] * 3)).epoch(0))
    assert len(batches) == loader(source).steps_per_epoch == 4
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
    batch = list(loader(source, data).epoch(epoch))[1]
    images = torch.from_numpy(source.images)[batch.index]
    for number, (view, size) in enumerate(zip(data.views, (16, 24, 8), strict=True)):
        draws = sample_view(view, SEED, epoch, batch.index.numpy(), number, 20, 24)
        table = torch.from_numpy(draws.table())
        expected = view_augment(images, table, size=size, mean=data.mean, std=data.std)
        assert torch.equal(batch.views[number], expected)


def test_views_in_bf16_are_those_of_fp32_rounded(source):
    exact, rounded = (loader(source, dtype=d) for d in (torch.float32, torch.bfloat16))
    for batch, other in zip(exact.epoch(0), rounded.epoch(0), strict=True):
        for view, in_bf16 in zip(batch.views, other.views, strict=True):
            assert torch.equal(in_bf16, view.bfloat16())
            assert in_bf16.is_contiguous(memory_format=torch.channels_last)


def test_views_differ(source):
    batch = next(loader(source).epoch(0))
    assert not torch.equal(*batch.views)


def test_an_epoch_resumes_bit_for_bit(source):
    whole = list(loader(source).epoch(1))
    fresh = loader(source)
    list(islice(fresh.epoch(0), 2))  # what was asked before does not matter
    for start in range(5):
        tail = list(fresh.epoch(1, start))
        assert len(tail) == 4 - start
        assert all(map(equal, tail, whole[start:]))


def test_epochs_and_seeds_differ(source):
    def index(seed, epoch):
        return torch.cat([batch.index for batch in loader(source, seed=seed).epoch(epoch)])

    assert torch.equal(index(0, 0), index(0, 0))
    assert not torch.equal(index(0, 0), index(0, 1))
    assert not torch.equal(index(0, 0), index(1, 0))


def test_files_and_array_give_the_same_batches(make_folder):
    files = open_source(str(make_folder()))
    array = load_small(files, config(), CPU)
    assert array.paths is None
    from_files, from_array = (list(loader(s).epoch(0)) for s in (files, array))
    assert len(from_files) == len(from_array) == 2
    assert all(map(equal, from_files, from_array))


def test_unlabeled(source):
    source.labels = None
    assert next(loader(source).epoch(0)).label is None


def test_unreadable_files_are_named_counted_and_skipped(make_folder, caplog):
    root = make_folder(per_class=10)
    (root / "cat" / "003.png").write_bytes(b"")
    source = open_source(str(root), max_bad=0.1)
    with caplog.at_level(logging.WARNING):
        batches = list(loader(source, config(batch_size=19)).epoch(0))
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
        loader(source)


def test_fewer_readable_images_than_a_batch(make_folder):
    root = make_folder(per_class=2)
    (root / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(UsageError, match="3 images are fewer than one batch of 4"):
        loader(open_source(str(root), max_bad=1))


def test_the_configured_views_are_not_changed(source):
    data = config()
    before = dataclasses.asdict(data)
    next(loader(source, data).epoch(0))
    assert dataclasses.asdict(data) == before


def test_views_are_distributed_as_torchvisions():
    """All of a pipeline, draws and pixels, beside all of torchvision's, by what tells its operations apart."""
    n, view = 1500, ViewConfig(scale=(0.08, 1.0), grayscale=0.2, blur=0.5)
    noise = np.random.default_rng(0).integers(0, 60, (40, 48, 3))
    right, down = np.linspace(0, 190, 48)[None, :], np.linspace(0, 190, 40)[:, None]
    image = (noise + np.stack(np.broadcast_arrays(right, down, 60), 2)).astype(np.uint8)  # red right, green down
    data = DataConfig(size=24, batch_size=n, views=[view])
    source = Source("one image", images=np.repeat(image[None], n, axis=0))
    ours = next(loader(source, data, seed=0).epoch(0)).views[0]
    torch.manual_seed(0)
    torchvisions = transform(view, 24, data)
    theirs = torch.stack([torchvisions(torch.from_numpy(image).permute(2, 0, 1)) for _ in range(n)])
    for name, measure in TRAITS.items():
        assert ks_2samp(measure(ours).numpy(), measure(theirs).numpy()).pvalue > 1e-3, name


TRAITS = {
    "red": lambda x: x[:, 0].mean((1, 2)),
    "green": lambda x: x[:, 1].mean((1, 2)),
    "blue": lambda x: x[:, 2].mean((1, 2)),
    "contrast": lambda x: x.std((1, 2, 3)),
    "color": lambda x: x.std(1).mean((1, 2)),
    "left to right": lambda x: (x[..., :12] - x[..., 12:]).mean((1, 2, 3)),
    "top to bottom": lambda x: (x[..., :12, :] - x[..., 12:, :]).mean((1, 2, 3)),
    "blur": lambda x: x.diff(dim=2).abs().mean((1, 2, 3)) / x.std((1, 2, 3)),
}
