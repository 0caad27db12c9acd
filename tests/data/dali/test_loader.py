"""The DALI training pipeline beside torchvision: views, order, epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.config import ViewConfig
from sslfast.data.dali.loader import DaliLoader
from sslfast.data.draws.reference import sample_view
from sslfast.data.sources import Source, open_source
from sslfast.data.spec import LoaderSpec
from sslfast.errors import UsageError
from tests.data.photographs import (
    CPU,
    GEOMETRY_ONLY,
    SEED,
    SIZE,
    assert_equal_batches,
    assert_view_of,
    config,
    levels,
    loader,
    photographs,
)

IMAGENETTE = Path(__file__).parents[4] / "shared" / "data" / "imagenette160" / "val.tar.xz"


@pytest.mark.parametrize("by_dali", [False, True])
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_views_equal_torchvision(tmp_path: Path, extension: str, by_dali: bool) -> None:
    """Cropped by `view_augment`, or by DALI, as on a GPU."""
    source = photographs(tmp_path, extension=extension)
    views = [GEOMETRY_ONLY, ViewConfig(scale=(0.05, 0.2), jitter=0, grayscale=0)]
    flipped = []
    for batch in loader(source, views=views, decodes_only=not by_dali).epoch(2):
        indices = batch.index.numpy()
        images = [source.image(i) for i in indices]
        for number, view in enumerate(views):
            heights, widths = [i.height for i in images], [i.width for i in images]
            draws = sample_view(view, SEED, 2, indices, number, heights, widths)
            for row, image in enumerate(images):
                assert_view_of(image, batch.views[number][row], draws, row, by_dali=by_dali)
            flipped.extend(draws.flip)
    assert 0 < sum(flipped) < len(flipped)


@pytest.mark.parametrize("by_dali", [False, True])
def test_views_of_several_sizes_come_from_one_image(tmp_path: Path, by_dali: bool) -> None:
    """SwAV's multi-crop: each crop at its own size, beside torchvision."""
    source = photographs(tmp_path)
    local = ViewConfig(size=10, scale=(0.05, 0.14), jitter=0, grayscale=0)
    views = [GEOMETRY_ONLY] * 2 + [local] * 6
    batch = next(loader(source, views=views, decodes_only=not by_dali).epoch(0))
    assert [tuple(view.shape) for view in batch.views] == [(4, 3, SIZE, SIZE)] * 2 + [(4, 3, 10, 10)] * 6
    images = [source.image(int(i)) for i in batch.index]
    heights, widths = [i.height for i in images], [i.width for i in images]
    for number, view in enumerate(views):
        draws = sample_view(view, SEED, 0, batch.index.numpy(), number, heights, widths)
        for row, image in enumerate(images):
            assert_view_of(image, batch.views[number][row], draws, row, by_dali=by_dali)


@pytest.mark.parametrize("by_dali", [False, True])
def test_colors_follow_the_draws_of_each_sample(tmp_path: Path, by_dali: bool) -> None:
    """Color jitter and grayscale reach the samples they were drawn for."""
    view = ViewConfig(jitter=0, grayscale=0.5)
    for batch in loader(photographs(tmp_path), views=[view], decodes_only=not by_dali).epoch(0):
        draws = sample_view(view, SEED, 0, batch.index.numpy(), 0, 1, 1)
        spread = batch.views[0].amax(1) - batch.views[0].amin(1)
        assert ((spread.amax((1, 2)) < 1e-6).numpy() == draws.grayscale).all()


def test_batch_is_what_a_training_step_takes(tmp_path: Path) -> None:
    batch = next(loader(photographs(tmp_path)).epoch(0))
    assert len(batch.views) == 2
    assert batch.index.dtype == torch.int64
    for view in batch.views:
        assert view.dtype == torch.float32
        assert view.shape == (4, 3, SIZE, SIZE)
        assert view.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(*batch.views)


@pytest.mark.parametrize("pipeline", ["dali", "dali_only"])
def test_views_in_bf16_are_those_of_fp32_rounded(tmp_path: Path, pipeline: str) -> None:
    source, data = photographs(tmp_path), config(pipeline=pipeline, views=[ViewConfig(blur=0.5)])
    dtypes = (torch.float32, torch.bfloat16)
    exact, rounded = (DaliLoader(LoaderSpec(source, data, SEED, CPU, dtype=dtype)) for dtype in dtypes)
    for batch, other in zip(exact.epoch(0), rounded.epoch(0), strict=True):
        assert torch.equal(other.views[0], batch.views[0].bfloat16())
        assert other.views[0].is_contiguous(memory_format=torch.channels_last)


def test_index_and_label_are_the_image_s(tmp_path: Path) -> None:
    """Image i, of one color that only it has, must come with index i and its folder's label."""
    for i in range(12):
        folder = tmp_path / "abc"[i % 3]
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (30 + i, 50 - i), (20 * i, 255 - 20 * i, i)).save(folder / f"{i:02}.png")
    source = open_source(str(tmp_path))
    for batch in loader(source, workers=3, prefetch=3).epoch(0):
        assert batch.label is not None
        for row, i in enumerate(batch.index):
            assert source.labels is not None
            assert batch.label[row] == source.labels[i]
            color = torch.tensor(source.image(int(i)).getpixel((0, 0))).view(3, 1, 1)
            for view in batch.views:
                assert (levels(view[row]).round() == color).all()


def test_every_image_once_an_epoch(tmp_path: Path) -> None:
    subject = loader(photographs(tmp_path, count=20))
    assert subject.steps_per_epoch == 5
    orders = [torch.cat([batch.index for batch in subject.epoch(epoch)]).tolist() for epoch in range(2)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert orders[0] != orders[1]


def test_incomplete_last_batch_is_left_out(tmp_path: Path) -> None:
    subject = loader(photographs(tmp_path, count=19))
    indices = torch.cat([batch.index for batch in subject.epoch(0)])
    assert len(indices) == len(set(indices.tolist())) == 16


def test_fewer_images_than_a_batch(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 images are fewer than one batch of 4"):
        loader(photographs(tmp_path, count=3))


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 5}, {"prefetch": 1}, {"prefetch": 7}])
def test_threads_and_prefetching_change_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    source = photographs(tmp_path)
    assert_equal_batches(list(loader(source, **changes).epoch(1)), list(loader(source).epoch(1)))


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_resumed_epoch_is_the_tail_of_the_whole(tmp_path: Path, start: int) -> None:
    source = photographs(tmp_path)
    assert_equal_batches(list(loader(source).epoch(5, start)), list(loader(source).epoch(5))[start:])


def test_jpeg_with_bytes_after_its_end_is_whole(tmp_path: Path) -> None:
    source = photographs(tmp_path, count=4)
    path = (source.paths or [])[1]
    path.write_bytes(path.read_bytes() + b"appended by a camera")
    assert len(next(loader(source).epoch(0)).index.unique()) == 4


def test_epoch_left_early_does_not_disturb_the_next(tmp_path: Path) -> None:
    source = photographs(tmp_path)
    subject = loader(source)
    next(subject.epoch(0))
    assert_equal_batches(list(subject.epoch(1)), list(loader(source).epoch(1)))


def test_batches_keep_their_pixels_while_later_ones_are_made(tmp_path: Path) -> None:
    """The outputs are DALI's own memory: it must not write into what is still held."""
    source = photographs(tmp_path)
    copies = [view.clone() for batch in loader(source).epoch(0) for view in batch.views]
    held = [view for batch in loader(source).epoch(0) for view in batch.views]
    assert all(torch.equal(view, copy) for view, copy in zip(held, copies, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_a_gpu_makes_the_cpus_views(tmp_path: Path, extension: str) -> None:
    """By the same graph; nvJPEG and the GPU's resizing may round otherwise."""
    source = photographs(tmp_path, extension=extension)
    on_gpu = DaliLoader(LoaderSpec(source, config(), SEED, torch.device("cuda")))
    for batch, expected in zip(on_gpu.epoch(1), loader(source, decodes_only=False).epoch(1), strict=True):
        assert torch.equal(batch.index.cpu(), expected.index)
        for view, other in zip(batch.views, expected.views, strict=True):
            difference = (levels(view.cpu()) - levels(other)).abs()
            assert difference.max() < 4
            assert difference.mean() < 0.5


@pytest.fixture(scope="module")
def imagenette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    import tarfile

    folder = tmp_path_factory.mktemp("imagenette")
    with tarfile.open(IMAGENETTE) as archive:
        for member, _ in zip((m for m in archive if m.isfile()), range(24), strict=False):
            archive.extract(member, folder, filter="data")
    return open_source(str(folder))


@pytest.mark.real_data
@pytest.mark.skipif(not IMAGENETTE.exists(), reason=f"{IMAGENETTE} is missing")
def test_photographs(imagenette: Source) -> None:
    view = GEOMETRY_ONLY
    batch = next(loader(imagenette, size=128, batch_size=24, views=[view]).epoch(0))
    assert sorted(batch.index.tolist()) == list(range(24))
    images = [imagenette.image(i) for i in batch.index.tolist()]
    draws = sample_view(
        view, SEED, 0, batch.index.numpy(), 0, [i.height for i in images], [i.width for i in images]
    )
    for row, image in enumerate(images):
        assert_view_of(image, batch.views[0][row], draws, row)
