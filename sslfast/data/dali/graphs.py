"""DALI's graphs: decode; crop, resize and flip too; or all of an augmentation.

They are given the paths of files or, `in_archives`, their contents.

All randomness comes from the host, as arguments of each sample: the graphs have none of their own, so their
output depends neither on threads nor on earlier runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, math, pipeline_def, types

from sslfast.data.dali.turns import TURN, stored_region, turn
from sslfast.data.draws.reference import ViewDraws
from sslfast.kernels.view_augment import BRIGHTNESS, CONTRAST, SATURATION, blur_window

Inputs = Iterator[tuple[Any, ...]]
Arguments = list[tuple[Any, int]]  # type and dimensions of each argument of a sample

REGION: Arguments = [(types.INT32, 1), (types.INT32, 1)]  # as `region_arguments` makes them
CROP: Arguments = [(types.INT32, 1), (types.INT32, 1), (types.INT32, 0)]  # as `crop_arguments` makes them
COLOR: Arguments = [
    (types.BOOL, 0),
    *[(types.FLOAT, 0)] * 4,
    (types.INT32, 1),
    (types.BOOL, 0),
    (types.FLOAT, 0),
    (types.BOOL, 0),
]  # as `color_arguments` makes them


def region_arguments(
    draws: Sequence[ViewDraws], size: NDArray[np.int64], orientation: NDArray[np.int64]
) -> tuple[list[NDArray[Any]], NDArray[np.int64], tuple[ViewDraws, ...]]:
    """Finds the least part of each image that holds its crops.

    Args:
        draws: of each view.
        size: (B, 2) height and width of the upright images.
        orientation: (B,) EXIF's.

    Returns:
        The start and shape of the part as it lies in the file; its shape (B, 2) when it is upright; the draws,
        with boxes in it.
    """
    boxes = np.stack([view.boxes for view in draws])  # [views, B, 4]
    start, end = boxes[..., :2].min(axis=0), (boxes[..., :2] + boxes[..., 2:]).max(axis=0)
    origin = np.pad(start, ((0, 0), (0, 2)))
    inside = tuple(replace(view, boxes=view.boxes - origin) for view in draws)
    shape = end - start
    stored = stored_region(start, shape, size, orientation)
    return [np.ascontiguousarray(array, dtype=np.int32) for array in stored], shape, inside


def crop_arguments(draws: ViewDraws) -> list[NDArray[Any]]:
    """Returns the start and shape of each sample's crop, and whether it is flipped."""
    boxes = draws.boxes.astype(np.int32)
    return [boxes[:, :2].copy(), boxes[:, 2:].copy(), draws.flip.astype(np.int32)]  # DALI takes no strided arrays


def color_arguments(draws: ViewDraws) -> list[NDArray[Any]]:
    """Returns the draws of everything that follows the crop."""
    return [
        draws.jitter,
        draws.brightness,
        draws.contrast,
        draws.saturation,
        draws.hue,
        draws.order.astype(np.int32),
        draws.grayscale,
        draws.blur_sigma,
        draws.solarize,
    ]


@pipeline_def(enable_conditionals=True)
def image_graph(source: Inputs, device: str, region: bool, in_archives: bool) -> tuple[Any, ...]:
    """Decodes images whose views `augment.augment` makes.

    Arguments of a sample: with `region` `region_arguments`, whose part of the image is decoded.

    Returns:
        A uint8 (height, width, 3) a sample; the index, int64 (B,).
    """
    image, index = _decoded(source, device, [], in_archives, region)
    return image, index


@pipeline_def(enable_conditionals=True)
def crop_graph(
    source: Inputs, device: str, sizes: Sequence[int], region: bool, in_archives: bool
) -> tuple[Any, ...]:
    """Crops, resizes and flips each view from one decoded image.

    Resizing is bilinear with antialiasing, as torchvision's, but for the outermost pixels of a view that shrinks:
    where the filter reaches beyond the crop, DALI repeats the edge and torchvision weighs the rest alone.

    Arguments of a sample: with `region` `region_arguments`, whose part of the image is decoded and which the crops
    count from; for each view `crop_arguments`.

    Returns:
        For each view a uint8 (B, size, size, 3); the index, int64 (B,).
    """
    image, index, *arguments = _decoded(source, device, CROP * len(sizes), in_archives, region)
    by_view = _by_view(arguments, sizes)
    return *(_crop(image, size, *by_view[view]) for view, size in enumerate(sizes)), index


@pipeline_def(enable_conditionals=True)
def view_graph(
    source: Inputs,
    device: str,
    sizes: Sequence[int],
    region: bool,
    mean: Sequence[float],
    std: Sequence[float],
    in_archives: bool,
) -> tuple[Any, ...]:
    """Makes each view from one decoded image, in DALI alone: `crop_graph`, then what `augment.finish` does.

    Two things differ from `finish`. Each operation rounds to 8 bits: on photographs 0.3 levels on average, 2 at
    most. And the hue is rotated linearly, about the gray axis in YIQ, where torchvision rotates it in HSV: luma is
    kept instead of value, and the angles between colors differ. Shifts of up to a tenth of a turn (MoCo v2) then
    come out 4.5 levels from torchvision's on average, and up to 73.

    Arguments of a sample: as in `crop_graph`, and after each view's crop `color_arguments`.

    Returns:
        For each view a float32 (B, size, size, 3), normalized; the index, int64 (B,).
    """
    image, index, *arguments = _decoded(source, device, [*CROP, *COLOR] * len(sizes), in_archives, region)
    by_view = _by_view(arguments, sizes)
    views = []
    for view, size in enumerate(sizes):
        crop = _crop(image, size, *by_view[view][: len(CROP)])
        recolored = _recolor(crop, blur_window(size), *by_view[view][len(CROP) :])
        views.append(
            fn.crop_mirror_normalize(
                recolored,
                dtype=types.FLOAT,
                output_layout="HWC",
                mean=[255 * m for m in mean],
                std=[255 * s for s in std],
            )
        )
    return *views, index


@pipeline_def(enable_conditionals=True)
def evaluation_graph(source: Inputs, device: str, size: int, in_archives: bool) -> tuple[Any, ...]:
    """Resizes a part of the image, then crops it.

    Arguments of a sample: start and end of the part, height and width to resize it to, float32 (2,) each; start of
    the crop in it, int32 (2,).

    Returns:
        uint8 (B, size, size, 3); the index, int64 (B,).
    """
    kinds: Arguments = [*[(types.FLOAT, 1)] * 3, (types.INT32, 1)]
    image, index, part_start, part_end, resized, start = _decoded(source, device, kinds, in_archives)
    image = fn.resize(image, roi_start=part_start, roi_end=part_end, size=resized)
    return fn.slice(image, start=start, shape=[size, size], axes=[0, 1]), index


@pipeline_def(batch_size=1, prefetch_queue_depth=1)
def decoding_graph(source: Inputs, device: str, in_archives: bool) -> Any:
    """Decodes one file at a time as it is stored, and does nothing else."""
    (file,) = fn.external_source(source, num_outputs=1, dtype=types.UINT8, ndim=1)
    return _decode(file, device, in_archives)


def _decode(file: Any, device: str, in_archives: bool, **region: Any) -> Any:
    """Decodes the image of a file, by its path or its content, as it is stored, or a part of it.

    On the CPU a part has the same pixels, and the same files fail.

    Of JPEGs of 1600x1200 pixels, DALI's crops of 224 pixels took 1.3 to 1.5 times as much CPU time from the whole
    as from the part where there was one view, and 1.0 to 1.2 times as much where there were two. Of 100 damaged
    JPEGs the CPU's decoder refused the same 28 whole and in a part of 16x16 pixels; nvJPEG was not tried.
    """
    decoder = fn.decoders.image_slice if region else fn.decoders.image
    backend = "mixed" if device == "gpu" else "cpu"
    content = file if in_archives else fn.io.file.read(file)
    return decoder(content, device=backend, jpeg_fancy_upsampling=True, adjust_orientation=False, **region)


def _decoded_before(pixels: Any, device: str, **region: Any) -> Any:
    """Returns the image, or a part of it, that Pillow has decoded."""
    image = fn.slice(pixels, **region) if region else pixels
    return image.gpu() if device == "gpu" else image


def _decoded(
    source: Inputs, device: str, arguments: Arguments, in_archives: bool, by_region: bool = False
) -> list[Any]:
    """Makes the nodes that every graph begins with: upright image, index in the source, its own arguments."""
    region = REGION if by_region else []
    kinds = [(types.UINT8, 1), (types.BOOL, 0), (types.UINT8, 3), (types.INT64, 0), *TURN, *region, *arguments]
    file, by_pillow, pixels, index, *graph_arguments = fn.external_source(
        source,
        num_outputs=len(kinds),
        dtype=[dtype for dtype, _ in kinds],
        ndim=[dimensions for _, dimensions in kinds],
        layout=["", "", "HWC"],
    )
    turn_arguments, graph_arguments = graph_arguments[: len(TURN)], graph_arguments[len(TURN) :]
    part: dict[str, Any] = {}
    if by_region:
        part = {"start": graph_arguments[0], "shape": graph_arguments[1], "axes": [0, 1]}
        graph_arguments = graph_arguments[2:]
    if by_pillow:
        image = _decoded_before(pixels, device, **part)
    else:
        image = turn(_decode(file, device, in_archives, **part), *turn_arguments)
    return [image, index.gpu() if device == "gpu" else index, *graph_arguments]


def _by_view(arguments: Sequence[Any], sizes: Sequence[int]) -> list[Sequence[Any]]:
    """Groups the arguments by view."""
    count = len(arguments) // len(sizes)
    return [arguments[count * view : count * (view + 1)] for view in range(len(sizes))]


def _crop(image: Any, size: int, start: Any, shape: Any, flip: Any) -> Any:
    crop = fn.slice(image, start=start, shape=shape, axes=[0, 1])
    return fn.flip(fn.resize(crop, size=[size, size]), horizontal=flip)


def _recolor(
    image: Any,
    window: int,
    jitter: Any,
    brightness: Any,
    contrast: Any,
    saturation: Any,
    hue: Any,
    order: Any,
    grayscale: Any,
    sigma: Any,
    solarize: Any,
) -> Any:
    """Applies color jitter, grayscale, blur and solarization to a uint8 view.

    Conditionals, so that a sample pays only for the operations that its draws ask for.
    """
    if jitter:
        for position in range(4):
            operation = order[position]
            if operation == BRIGHTNESS:
                image = fn.brightness(image, brightness=brightness)
            elif operation == CONTRAST:
                mean = fn.reductions.mean(_gray(image)).cpu()
                image = fn.contrast(image, contrast=contrast, contrast_center=mean)
            elif operation == SATURATION:
                image = fn.saturation(image, saturation=saturation)
            else:
                image = fn.hue(image, hue=360 * hue)
    if grayscale:
        image = fn.color_space_conversion(_gray(image), image_type=types.GRAY, output_type=types.RGB)
    if sigma > 0:
        image = fn.gaussian_blur(image, sigma=sigma, window_size=window)
    if solarize:
        image = math.min(image, types.Constant(255, dtype=types.UINT8) - image)  # a value below 128 is the less
    return image


def _gray(image: Any) -> Any:
    return fn.color_space_conversion(image, image_type=types.RGB, output_type=types.GRAY)
