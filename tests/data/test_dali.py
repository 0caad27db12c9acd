"""The DALI pipeline beside torchvision and Pillow, with files of every kind and with broken ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.config import DataConfig, ViewConfig
from sslfast.data.batch import Batch
from sslfast.data.dali import DaliLoader, dali_eval_batches
from sslfast.data.dali_files import Files
from sslfast.data.dali_pipeline import Plan, Runner, training_graph
from sslfast.data.draws import ViewDraws, draw_view
from sslfast.data.loader import resize_center_crop
from sslfast.data.sources import Source, open_source
from sslfast.errors import UsageError

CPU = torch.device("cpu")
SEED = 3
SIZE = 24
GEOMETRY_ONLY = ViewConfig(jitter=0, grayscale=0)
IMAGENETTE = Path(__file__).parents[3] / "shared" / "data" / "imagenette160" / "val.tar.xz"


def config(**changes: object) -> DataConfig:
    """Small batches of 4, two views that are only cropped and flipped, pixels in [0, 1]."""
    defaults: dict[str, object] = {
        "size": SIZE,
        "batch_size": 4,
        "workers": 2,
        "max_bad": 0.5,
        "mean": (0, 0, 0),
        "std": (1, 1, 1),
        "views": [GEOMETRY_ONLY, GEOMETRY_ONLY],
    }
    return DataConfig(**{**defaults, **changes})  # type: ignore[arg-type]


def photograph(seed: int, height: int, width: int) -> Image.Image:
    """Smooth structure at several scales, so that a resize by a wrong rule shows."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells in (2, 5, 11, 23):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64) / 4
    return Image.fromarray(image.astype(np.uint8))


def photographs(folder: Path, count: int = 19, extension: str = "jpg") -> Source:
    for i in range(count):
        photograph(i, 40 + 7 * (i % 4), 40 + 9 * (i % 5)).save(folder / f"{i:03}.{extension}")
    return open_source(str(folder), max_bad=0.5)


def loader(source: Source, **changes: object) -> DaliLoader:
    return DaliLoader(source, config(**changes), SEED, CPU)


def levels(images: Tensor) -> Tensor:
    """Pixels in [0, 255]."""
    return images * 255


def assert_equal_batches(actual: Sequence[Batch], expected: Sequence[Batch]) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a.index, e.index)
        for view, other in zip(a.views, e.views, strict=True):
            assert torch.equal(view, other)


def assert_same_resize(actual: Tensor, exact: Tensor) -> None:
    """Half a level, by rounding; at the border, where DALI repeats the edge and torchvision ignores it, a few."""
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(actual[inner], exact[inner], atol=0.51, rtol=0)
    torch.testing.assert_close(actual, exact, atol=4, rtol=0)


def assert_view_of(image: Image.Image, view: Tensor, draws: ViewDraws, row: int) -> None:
    size = list(view.shape[1:])
    expected = F.resized_crop(F.pil_to_tensor(image).float(), *draws.boxes[row], size, antialias=True)
    assert_same_resize(levels(view), F.horizontal_flip(expected) if draws.flip[row] else expected)


@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_views_equal_torchvision(tmp_path: Path, extension: str) -> None:
    source = photographs(tmp_path, extension=extension)
    views = [GEOMETRY_ONLY, ViewConfig(scale=(0.05, 0.2), jitter=0, grayscale=0)]
    flipped = []
    for batch in loader(source, views=views).epoch(2):
        indices = batch.index.numpy()
        images = [source.image(i) for i in indices]
        for number, view in enumerate(views):
            heights, widths = [i.height for i in images], [i.width for i in images]
            draws = draw_view(view, SEED, 2, indices, number, heights, widths)
            for row, image in enumerate(images):
                assert_view_of(image, batch.views[number][row], draws, row)
            flipped.extend(draws.flip)
    assert 0 < sum(flipped) < len(flipped)


def test_colours_follow_the_draws_of_each_sample(tmp_path: Path) -> None:
    """Colour jitter and grayscale reach the samples they were drawn for."""
    view = ViewConfig(jitter=0, grayscale=0.5)
    for batch in loader(photographs(tmp_path), views=[view]).epoch(0):
        draws = draw_view(view, SEED, 0, batch.index.numpy(), 0, 1, 1)
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


def test_index_and_label_are_the_image_s(tmp_path: Path) -> None:
    """Image i, of one colour that only it has, must come with index i and its folder's label."""
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
            colour = torch.tensor(source.image(int(i)).getpixel((0, 0))).view(3, 1, 1)
            for view in batch.views:
                assert (levels(view[row]).round() == colour).all()


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


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)


BAD_KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "truncated JPEG": ("jpg", cut),
    "truncated PNG": ("png", cut),
    "truncated WebP": ("webp", cut),
    "truncated BMP": ("bmp", cut),
    "truncated TIFF": ("tif", cut),
    "truncated GIF, which Pillow decodes": ("gif", cut),
    "corrupt PNG": ("png", spoil),
    "empty": ("jpg", lambda path: path.write_bytes(b"")),
    "header only": ("jpg", lambda path: path.write_bytes(path.read_bytes()[:30])),
    "text": ("jpg", lambda path: path.write_text("no image\n" * 30)),
    "vanished": ("jpg", Path.unlink),
}


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
    assert substitute == int(expected[step + 1].index[0])  # the next of the epoch's order
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
        return training_graph(*arguments, views=1, size=SIZE, **options)

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


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def gray16(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200)


def translucent(image: Image.Image) -> Image.Image:
    image.putalpha(photograph(99, image.height, image.width).convert("L"))
    return image


def same(image: Image.Image) -> Image.Image:
    return image


def mode(name: str) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.convert(name)


KINDS: list[tuple[str, Callable[[Image.Image], Image.Image], dict[str, object]]] = [
    ("rgb.jpg", same, {}),
    ("gray.jpg", mode("L"), {}),
    ("cmyk.jpg", mode("CMYK"), {}),
    ("progressive.jpg", same, {"progressive": True}),
    *((f"exif{orientation}.jpg", same, {"exif": exif(orientation)}) for orientation in range(1, 9)),
    ("rgb.png", same, {}),
    ("gray.png", mode("L"), {}),
    ("palette.png", mode("P"), {}),
    ("bilevel.png", mode("1"), {}),
    ("gray16.png", gray16, {}),
    ("rgba.png", translucent, {}),
    ("exif6.png", same, {"exif": exif(6)}),
    ("rgb.webp", same, {}),
    ("lossless.webp", same, {"lossless": True}),
    ("rgba.webp", translucent, {"lossless": True}),
    ("rgb.bmp", same, {}),
    ("palette.bmp", mode("P"), {}),
    ("rgb.tif", same, {}),
    ("lzw.tif", same, {"compression": "tiff_lzw"}),
    ("gray16.tif", gray16, {}),
    ("bilevel.tif", mode("1"), {}),
    ("cmyk.tif", mode("CMYK"), {}),
    ("rgb.gif", same, {}),
    ("rgb.ppm", same, {}),
]


def save_kinds(folder: Path) -> Source:
    for number, (name, convert, options) in enumerate(KINDS):
        convert(photograph(number, 32, 40)).save(folder / name, **options)
    return open_source(str(folder))


def test_every_kind_of_file_loads_as_pillow_loads_it(tmp_path: Path) -> None:
    """At their own size, so that only the decoding can differ: at most by rounding."""
    source = save_kinds(tmp_path)
    seen = []
    for images, index in dali_eval_batches(source, 32, config(), 5, CPU):
        for image, i in zip(images, index.tolist(), strict=True):
            expected = F.pil_to_tensor(F.center_crop(source.image(i), [32, 32])).float()
            difference = (levels(image) - expected).abs().max()
            assert difference < 1.01, f"{(source.paths or [])[i].name}: off by {difference:.0f} levels"
            seen.append(i)
    assert seen == list(range(len(KINDS)))
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


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8, 20])
def test_evaluation_covers_each_image_once_in_order(tmp_path: Path, batch_size: int) -> None:
    source = photographs(tmp_path, count=8)
    batches = list(dali_eval_batches(source, SIZE, config(), batch_size, CPU))
    assert [len(index) for _, index in batches] == [min(batch_size, 8 - i) for i in range(0, 8, batch_size)]
    assert torch.cat([index for _, index in batches]).tolist() == list(range(8))
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in batches)


@pytest.mark.parametrize("size", [16, 38, 64])  # the images shrink, keep their size, grow
def test_evaluation_resizes_and_crops_as_torchvision(tmp_path: Path, size: int) -> None:
    source = photographs(tmp_path, count=8)
    for images, index in dali_eval_batches(source, size, config(), 3, CPU):
        for image, i in zip(images, index.tolist(), strict=True):
            tensor = F.pil_to_tensor(resize_center_crop(source.image(i), size)).float()
            # Pillow rounds twice, once in each direction.
            torch.testing.assert_close(levels(image), tensor, atol=2.01, rtol=0)


def test_evaluation_leaves_bad_files_out(tmp_path: Path) -> None:
    source = photographs(tmp_path, count=9, extension="png")
    for i in (1, 3, 4, 5):
        cut((source.paths or [])[i])
    batches = list(dali_eval_batches(source, SIZE, config(), 3, CPU))
    assert [index.tolist() for _, index in batches] == [[0, 2], [6, 7, 8]]
    assert len(source.bad) == 4


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
    draws = draw_view(view, SEED, 0, batch.index.numpy(), 0, [i.height for i in images], [i.width for i in images])
    for row, image in enumerate(images):
        assert_view_of(image, batch.views[0][row], draws, row)
