"""Gray of more than 8 bits by `data.range`: one meaning in both pipelines, and a warning where it does not fit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sslfast.config import ViewConfig
from sslfast.data import LoaderSpec, Source, eval_batches, load_small, make_loader, open_data, open_source
from sslfast.data.sources.images import UnreadableImage, read_rgb
from tests.data.photographs import CPU, config, levels
from tests.data.zoo.others import bmp
from tests.data.zoo.png import COLOR, png
from tests.data.zoo.specimen import picture, saved
from tests.data.zoo.tiff import BLACK_IS_ZERO, FLOAT, SIGNED, WHITE_IS_ZERO, tiff

NEEDS_DALI = pytest.mark.skipif(
    importlib.util.find_spec("nvidia.dali") is None, reason="NVIDIA DALI is not installed"
)
PIPELINES = ["resident", pytest.param("dali", marks=NEEDS_DALI)]
SIDE, COUNT = 32, 6
WHOLE = ViewConfig(scale=(1, 1), ratio=(1, 1), flip=0, jitter=0, grayscale=0)


def scan(seed: int) -> NDArray[np.int64]:
    """Draws an image of 12 bits."""
    return picture(seed, SIDE, SIDE)[..., 0].astype(np.int64) * 16 + 7


def expected(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.rint(scan(seed) * (255 / 4095))).float()


def png16(values: NDArray[np.generic]) -> bytes:
    return saved(Image.fromarray(values.astype(np.uint16)), "PNG")


def scans(folder: Path, extension: str = "png") -> Source:
    for seed in range(COUNT):
        content = tiff(scan(seed)[..., None].astype(np.uint16), BLACK_IS_ZERO)
        (folder / f"{seed}.{extension}").write_bytes(png16(scan(seed)) if extension == "png" else content)
    return open_source(str(folder))


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("extension", ["png", "tif"])
def test_a_range_is_what_training_and_evaluation_see(
    tmp_path: Path, pipeline: str, extension: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = scans(tmp_path, extension)
    data = config(pipeline=pipeline, range=[0, 4095], size=SIDE, batch_size=COUNT, views=[WHOLE])
    (batch,) = make_loader(LoaderSpec(source, data, 0, CPU)).epoch(0)
    ((images, index),) = eval_batches(source, SIDE, data, COUNT, CPU)
    ((again, _),) = eval_batches(load_small(source, data, CPU), SIDE, data, COUNT, CPU)
    assert torch.equal(images, again)
    for pixels, seeds in ((batch.views[0], batch.index), (images, index)):
        for image, seed in zip(levels(pixels), seeds.tolist(), strict=True):
            torch.testing.assert_close(image, expected(seed).expand(3, -1, -1), atol=0.01, rtol=0)
    assert not caplog.records


def test_a_recipe_s_images_are_opened_by_its_range(tmp_path: Path) -> None:
    scans(tmp_path)
    source = open_data(config(source=str(tmp_path), range=[0, 4095]))
    for part in (source, source.subset([0, 3])):
        assert torch.equal(torch.from_numpy(np.array(part.image(0)))[..., 0].float(), expected(0))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_values_that_leave_bits_unused_are_told_once(
    tmp_path: Path, pipeline: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, data = scans(tmp_path), config(pipeline=pipeline)
    for _ in range(2):
        list(eval_batches(source, SIDE, data, COUNT, CPU))
        make_loader(LoaderSpec(source, data, 0, CPU))
    values = [scan(seed) for seed in range(COUNT)]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path}: {COUNT} gray images of more than 8 bits have values in [{np.min(values)}, "
        f"{np.max(values)}], {1 + round(np.max(values) / 257)} of 256 levels; set data.range (evaluate: range), "
        "such as [0, 4095]"
    )


def test_values_beyond_the_range_are_told_and_clipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = config(pipeline="resident", range=[1000, 2000])
    ((images, _),) = eval_batches(scans(tmp_path), SIDE, data, COUNT, CPU)
    wanted = np.rint((scan(0) - 1000) * (255 / 1000)).clip(0, 255)
    torch.testing.assert_close(levels(images[0, 0]), torch.from_numpy(wanted).float(), atol=0.01, rtol=0)
    (record,) = caplog.records
    assert record.getMessage().endswith("; data.range=[1000, 2000] clips those beyond it")


def test_files_that_use_their_bits_are_read_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(COUNT):
        (tmp_path / f"{seed}.png").write_bytes(png16(scan(seed) * 16))
        (tmp_path / f"{seed}.tif").write_bytes(tiff(scan(seed)[..., None], BLACK_IS_ZERO, 12))
        (tmp_path / f"{seed}.pgm").write_bytes(pgm(scan(seed), 4095))
        Image.fromarray(picture(seed) // 4).save(tmp_path / f"{seed}-dark.png")
    list(eval_batches(open_source(str(tmp_path)), SIDE, config(pipeline="resident"), COUNT, CPU))
    assert not caplog.records


def pgm(values: NDArray[np.int64], maximum: int) -> bytes:
    return f"P5 {SIDE} {SIDE} {maximum}\n".encode() + values.astype(">u2").tobytes()


UNSIGNED_32 = 2**32 - 4096  # beyond what 32 bits hold with a sign
FORMS = {
    "pgm of 12 bits": ("pgm", pgm(scan(0), 4095), (0, 4095)),
    "pgm of 16 bits": ("pgm", pgm(scan(0), 65535), (0, 4095)),
    "12 bits": ("tif", tiff(scan(0)[..., None], BLACK_IS_ZERO, 12), (0, 4095)),
    "big-endian": ("tif", tiff(scan(0)[..., None].astype(np.uint16), BLACK_IS_ZERO, order=">"), (0, 4095)),
    "signed": (
        "tif",
        tiff((scan(0) - 1024)[..., None].astype(np.int16), BLACK_IS_ZERO, sample_format=SIGNED),
        (-1024, 3071),
    ),
    "signed of 32 bits": (
        "tif",
        tiff((scan(0) - 2048)[..., None].astype(np.int32), BLACK_IS_ZERO, sample_format=SIGNED),
        (-2048, 2047),
    ),
    "32 bits": (
        "tif",
        tiff((scan(0) + UNSIGNED_32)[..., None].astype(np.uint32), BLACK_IS_ZERO),
        (UNSIGNED_32, UNSIGNED_32 + 4095),
    ),
    "floating-point": (
        "tif",
        tiff((scan(0) / 4095 - 0.5)[..., None].astype(np.float32), BLACK_IS_ZERO, sample_format=FLOAT),
        (-0.5, 0.5),
    ),
}


@pytest.mark.parametrize(("extension", "content", "value_range"), FORMS.values(), ids=FORMS)
def test_a_range_is_of_the_file_s_own_values(
    tmp_path: Path, extension: str, content: bytes, value_range: tuple[float, float]
) -> None:
    path = tmp_path / f"0.{extension}"
    path.write_bytes(content)
    assert torch.equal(torch.from_numpy(np.array(read_rgb(path, value_range)))[..., 0].float(), expected(0))


def test_a_range_where_white_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "0.tif"
    path.write_bytes(tiff(scan(0)[..., None].astype(np.uint16), WHITE_IS_ZERO))
    read = torch.from_numpy(np.array(read_rgb(path, (0, 4095))))[..., 0].float()
    assert torch.equal(read, 255 - expected(0))


@pytest.mark.parametrize("name", ["signed", "signed of 32 bits", "32 bits", "floating-point"])
def test_values_of_unknown_scale_need_a_range(tmp_path: Path, name: str) -> None:
    path = tmp_path / "0.tif"
    path.write_bytes(FORMS[name][1])
    with pytest.raises(
        UnreadableImage,
        match=r"values have no known scale; set data.range \(evaluate: range\) to the values of black",
    ):
        read_rgb(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "0.tif"
    values = np.full((4, 4, 1), 0.5, dtype=np.float32)
    values[2, 3] = value
    path.write_bytes(tiff(values, BLACK_IS_ZERO, sample_format=FLOAT))
    with pytest.raises(UnreadableImage, match="infinite or not a number"):
        read_rgb(path, (0, 1))


@pytest.mark.parametrize("content", [png(picture(), 8, COLOR), bmp(picture(), 24), bmp(picture(), 16)])
def test_a_range_leaves_images_of_8_bits_as_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(content)
    assert (np.asarray(read_rgb(path, (0, 4095))) == np.asarray(read_rgb(path))).all()


COLORS = np.dstack([scan(0)] * 3)
PPM = f"P6 {SIDE} {SIDE} 65535\n".encode() + COLORS.astype(">u2").tobytes()


@pytest.mark.parametrize(("extension", "content"), [("png", png(COLORS, 16, COLOR)), ("ppm", PPM)])
def test_colors_of_16_bits_have_no_range(
    tmp_path: Path, extension: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"0.{extension}"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"only the upper 8 can be read.*convert the files to 8 bits"):
        read_rgb(path, (0, 4095))
    list(eval_batches(open_source(str(tmp_path)), SIDE, config(pipeline="resident"), 1, CPU))
    (record,) = caplog.records
    left = np.asarray(read_rgb(path)).max() + 1
    assert f"{left} of 256 levels, as only the upper 8 bits of colors are read; convert" in record.getMessage()
