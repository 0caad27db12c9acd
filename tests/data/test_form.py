"""Images of other channels than three, and of 16 bits: the same in training and evaluation, and nothing lost."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sslfast.config import ViewConfig
from sslfast.data import LoaderSpec, Source, eval_batches, load_small, make_loader, open_data, open_source
from sslfast.data.sources.form import Form
from sslfast.data.sources.images import UnreadableImage, read_parts
from sslfast.data.sources.parts import as_array
from sslfast.data.sources.values import in_form
from sslfast.errors import UsageError
from tests.data.photographs import CPU, config
from tests.data.zoo.png import COLOR, COLOR_ALPHA, png
from tests.data.zoo.tiff import BLACK_IS_ZERO, WHITE_IS_ZERO, tiff

SIDE, COUNT = 32, 6
WHOLE = ViewConfig(scale=(1, 1), ratio=(1, 1), flip=0, jitter=0, grayscale=0)
ONE = {"mean": (0,), "std": (1,), "channels": 1}


def scan(seed: int) -> NDArray[np.uint16]:
    """Draws an image of 12 bits, of nearly as many levels as pixels."""
    return np.random.default_rng(seed).permutation(4096)[: SIDE * SIDE].reshape(SIDE, SIDE).astype(np.uint16)


def scans(folder: Path) -> Source:
    for seed in range(COUNT):
        (folder / f"{seed}.tif").write_bytes(tiff(scan(seed)[..., None], BLACK_IS_ZERO))
    return open_source(str(folder))


def saved(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("pipeline", ["resident", "pillow", "auto"])
@pytest.mark.parametrize("channels", [1, 3])
def test_12_bits_keep_all_their_levels(
    tmp_path: Path, pipeline: str, channels: int, caplog: pytest.LogCaptureFixture
) -> None:
    source = scans(tmp_path)
    form = {"channels": channels, "mean": (0,) * channels, "std": (1,) * channels}
    data = config(pipeline=pipeline, range=[0, 4095], depth=16, size=SIDE, batch_size=COUNT, views=[WHOLE], **form)
    (batch,) = make_loader(LoaderSpec(source, data, 0, CPU)).epoch(0)
    ((images, index),) = eval_batches(source, SIDE, data, COUNT, CPU)
    ((again, _),) = eval_batches(load_small(source, data, CPU), SIDE, data, COUNT, CPU)
    assert torch.equal(images, again)
    for pixels, seeds in ((batch.views[0], batch.index), (images, index)):
        assert pixels.shape == (COUNT, channels, SIDE, SIDE)
        for image, seed in zip(pixels, seeds.tolist(), strict=True):
            expected = torch.from_numpy(scan(seed).astype(np.float32)) / 4095
            torch.testing.assert_close(image, expected.expand(channels, -1, -1), atol=1e-5, rtol=0)
            assert len(image.unique()) == SIDE * SIDE  # 17 at 8 bits without a range
    assert not caplog.records


def test_16_bits_that_leave_some_unused_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = config(depth=16, pipeline="resident", **ONE)
    list(eval_batches(scans(tmp_path), SIDE, data, COUNT, CPU))
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "up to 0.062 of white; set data.range (evaluate: range), such as [0, 4095]"
    )


def test_an_array_is_brought_into_its_form_in_little_more_memory_than_the_two_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sslfast.data.in_memory.FORMED_AT_ONCE", 2**20)
    source = array(1, np.uint16, side=1024)
    assert source.images is not None
    given = source.images.nbytes
    data = config(depth=16, range=[0, 4095], **ONE)
    tracemalloc.start()
    try:
        decoded = load_small(source, data, CPU)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < given + 40 * 2**20  # all of it in fp64 would be 4 times as much, several times over
    np.testing.assert_array_equal(decoded.images, np.rint(source.images * (65535 / 4095)).clip(0, 65535))


def test_what_surrounds_an_image_in_an_array_is_none_of_its_values(caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full((2, 8, 8, 1), 1000, dtype=np.uint16)
    pixels[1, 6:] = 0  # the second image is of 6 x 8
    source = Source("smaller", images=pixels, sizes=np.array([[8, 8], [6, 8]]))
    in_form(source, Form(1, 16, (500, 4095)))
    assert not caplog.records
    in_form(source, Form(1, 16, (1001, 4095)))
    (record,) = caplog.records
    assert "values in [1000, 1000]; data.range=[1001, 4095] clips" in record.getMessage()


def test_resized_images_are_between_levels_of_16_bits(tmp_path: Path) -> None:
    data = config(depth=16, range=[0, 4095], **ONE)
    ((images, _),) = eval_batches(scans(tmp_path), 20, data, COUNT, CPU)
    ((colors, _),) = eval_batches(open_source(str(tmp_path)), 20, config(range=[0, 4095]), COUNT, CPU)
    torch.testing.assert_close(images, colors[:, :1], atol=1.5 / 255, rtol=0)  # of which 8 bits are rounded
    assert len(images.unique()) > 256 >= len(colors.unique())


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
def test_gray_files_are_of_one_channel(tmp_path: Path, mode: str) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (8, 9), dtype=np.uint8)
    deep = Image.fromarray(levels.astype(np.uint16) * 257)
    (tmp_path / "0.png").write_bytes(saved(deep if mode == "I;16" else Image.fromarray(levels).convert(mode)))
    read = as_array(read_parts(tmp_path / "0.png", Form(1)))
    assert read.shape == (8, 9, 1)
    assert read.dtype == np.uint8
    if mode != "1":
        np.testing.assert_array_equal(read[..., 0], levels)
    wide = as_array(read_parts(tmp_path / "0.png", Form(1, 16)))
    assert wide.dtype == np.uint16
    np.testing.assert_array_equal(wide, read.astype(np.uint16) * 257)


def test_colors_of_8_bits_are_levels_of_16(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    (tmp_path / "0.png").write_bytes(saved(Image.fromarray(colors)))
    wide = as_array(read_parts(tmp_path / "0.png", Form(3, 16)))
    np.testing.assert_array_equal(wide, colors.astype(np.uint16) * 257)


@pytest.mark.parametrize("value_range", [None, (0, 4095)])
def test_pngs_of_colors_of_16_bits_keep_them(
    tmp_path: Path, value_range: tuple[float, float] | None, caplog: pytest.LogCaptureFixture
) -> None:
    colors = np.dstack([scan(seed) for seed in range(3)])
    (tmp_path / "0.png").write_bytes(png(colors, 16, COLOR))
    data = config(depth=16, range=value_range, batch_size=1)
    ((images, _),) = eval_batches(open_source(str(tmp_path)), SIDE, data, 1, CPU)
    expected = torch.from_numpy(colors.astype(np.float32)).permute(2, 0, 1)[None] / (
        4095 if value_range else 65535
    )
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    assert [
        record.getMessage().endswith("set data.range (evaluate: range), such as [0, 4095]")
        for record in caplog.records
    ] == ([] if value_range else [True])


def test_white_is_zero_at_16_bits(tmp_path: Path) -> None:
    (tmp_path / "0.tif").write_bytes(tiff(scan(0)[..., None], WHITE_IS_ZERO))
    read = as_array(read_parts(tmp_path / "0.tif", Form(1, 16)))
    np.testing.assert_array_equal(read[..., 0], 65535 - scan(0))


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        (
            Form(1),
            saved(Image.new("RGB", (4, 4))),
            r"3 channels \(Pillow's mode RGB\), expected 1.*data.channels=3",
        ),
        (Form(1), saved(Image.new("P", (4, 4))), r"3 channels \(Pillow's mode P\), expected 1"),
        (Form(4), saved(Image.new("RGBA", (4, 4))), r"3 channels \(Pillow's mode RGBA\), expected 4"),
        (Form(2), saved(Image.new("L", (4, 4))), r"1 channel \(Pillow's mode L\), expected 2"),
        (
            Form(3, 16),
            png(np.dstack([scan(0)] * 4), 16, COLOR_ALPHA),
            r"colors of 16 bits.*data.depth=16 keeps all",
        ),
        (Form(1), png(np.dstack([scan(0)] * 3), 16, COLOR), r"3 channels"),
    ],
)
def test_files_of_another_form_are_bad_files(tmp_path: Path, form: Form, content: bytes, message: str) -> None:
    (tmp_path / "0.png").write_bytes(content)
    with pytest.raises(UnreadableImage, match=message):
        read_parts(tmp_path / "0.png", form)
    data = config(channels=form.channels, depth=form.depth, max_bad=0, source=str(tmp_path))
    with pytest.raises(UsageError, match=rf"cannot be read.*0.png \(ValueError: {message}"):
        list(eval_batches(open_data(data), 4, data, 1, CPU))


def array(channels: int, dtype: type = np.uint8, side: int = SIDE) -> Source:
    high = 4096 if dtype == np.uint16 else 256
    pixels = np.random.default_rng(0).integers(0, high, (COUNT, side, side, channels)).astype(dtype)
    return Source(f"{channels} of {np.dtype(dtype)}", images=pixels)


@pytest.mark.parametrize("size", [SIDE, 20])
@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 4095)])
def test_arrays_of_channels(size: int, dtype: type, white: int) -> None:
    source = array(5, dtype)
    data = config(
        size=size,
        channels=5,
        depth=8 if dtype == np.uint8 else 16,
        range=None if dtype == np.uint8 else [0, 4095],
        mean=(0.5,) * 5,
        std=(0.5, 0.4, 0.3, 0.2, 0.1),
        batch_size=COUNT,
        views=[WHOLE],
    )
    (batch,) = make_loader(LoaderSpec(source, data, 0, CPU)).epoch(0)
    ((images, _),) = eval_batches(source, size, data, COUNT, CPU)
    ((again, _),) = eval_batches(load_small(source, data, CPU), size, data, COUNT, CPU)
    assert torch.equal(images, again)
    assert batch.views[0].shape == images.shape == (COUNT, 5, size, size)
    if size == SIDE:
        assert source.images is not None
        expected = torch.from_numpy(source.images.astype(np.float32)).permute(0, 3, 1, 2) / white
        expected = (expected - 0.5) / torch.tensor(data.std)[:, None, None]
        torch.testing.assert_close(images, expected, atol=1e-3, rtol=0)
        torch.testing.assert_close(batch.views[0], expected[batch.index], atol=1e-3, rtol=0)


def test_gray_arrays_become_rgb_where_that_is_asked_for() -> None:
    source = array(1)
    ((images, _),) = eval_batches(source, SIDE, config(), COUNT, CPU)
    assert images.shape[1] == 3
    assert source.images is not None
    assert torch.equal(images[:, 0], images[:, 2])
    assert source.image(0).mode == "RGB"


def test_arrays_of_8_bits_are_levels_of_16() -> None:
    ((wide, _),) = eval_batches(array(1), SIDE, config(depth=16, **ONE), COUNT, CPU)
    ((images, _),) = eval_batches(array(1), SIDE, config(**ONE), COUNT, CPU)
    torch.testing.assert_close(wide, images, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        (
            array(4),
            {},
            r"\(6, 32, 32, 4\) has images of 4 channels, expected data.channels=3; pre-train with data.channels=4",
        ),
        (array(3), ONE, "has images of 3 channels, expected data.channels=1; pre-train with data.channels=3"),
        (
            array(3, np.uint16),
            {},
            "has images of 16 bits, of which data.depth=8 would keep 8; pre-train with data.depth=16",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(source: Source, changes: dict[str, object], message: str) -> None:
    data = config(**changes)
    for use in (
        lambda: in_form(source, Form.of(data)),
        lambda: make_loader(LoaderSpec(source, data, 0, CPU)),
        lambda: list(eval_batches(source, SIDE, data, COUNT, CPU)),
    ):
        with pytest.raises(UsageError, match=message):
            use()


def test_dali_reads_no_other_form(tmp_path: Path) -> None:
    source = scans(tmp_path)
    for changes in (ONE, {"depth": 16}):
        data = config(pipeline="dali", **changes)
        with pytest.raises(
            UsageError, match=r"data.pipeline=dali, by DALI, takes RGB images of 8 bits only.*resident"
        ):
            make_loader(LoaderSpec(source, data, 0, CPU))


def test_what_people_see_of_channels() -> None:
    for source in (array(5), array(2), array(1), array(4, np.uint16)):
        picture, pixels = np.asarray(source.image(0)), source.images[0]
        shown = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1].repeat(3, axis=-1)
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, shown // (257 if pixels.dtype == np.uint16 else 1))
