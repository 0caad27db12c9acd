"""Augmented views of images of 8 or 16 bits, each sample with its own draw."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.op import LIBRARY, MISSING, Impl, Op
from sslfast.kernels.view_augment import reference
from sslfast.kernels.view_augment.checks import check_batch, check_inside, check_list, check_numbers

OP = Op(
    "view_augment",
    "(Tensor images, Tensor draws, Tensor? rows, int size, float[] mean, float[] std, bool crop, ScalarType dtype)"
    " -> Tensor",
    impls=("cpp", "triton"),
    dtypes=(torch.float32,),  # of the draws
)
LIST = Op(  # for images of different sizes
    "view_augment_list",
    "(Tensor[] images, Tensor draws, int size, float[] mean, float[] std, ScalarType dtype) -> Tensor",
    impls=("cpp",),
    dtypes=OP.dtypes,
    internal=True,
)
for op in (OP, LIST):  # no derivative: images are numbers of levels
    for compiled in op.impls:
        LIBRARY.impl(f"{op.name}.{compiled}", torch.library.fallthrough_kernel, "Autograd")
RGB = 3


def view_augment(
    images: Tensor | list[Tensor] | tuple[Tensor, ...],
    draws: Tensor,
    *,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    rows: Tensor | None = None,
    crop: bool = True,
    dtype: torch.dtype = torch.float32,
    impl: Impl = "auto",
) -> Tensor:
    """Makes views of images, as torchvision's transforms do, but each sample with its own draw.

    In this order: crop, resize (bilinear with antialiasing) and mirror; color jitter in the sample's own order of
    its four operations; grayscale; Gaussian blur, in a window of `blur_window(size)` pixels; solarization;
    normalization; conversion. With `torchvision.transforms.v2.functional` as F, and of one sample, d a row of the
    draws as `Draw` numbers them:

        x = F.resized_crop(image.float() / 255, d[TOP], d[LEFT], d[HEIGHT], d[WIDTH], [size, size])
        if d[FLIP]: x = F.horizontal_flip(x)
        if d[JITTER]: for o in order: x = (F.adjust_brightness, F.adjust_contrast, ...)[o](x, d[BRIGHTNESS + o])
        if d[GRAYSCALE]: x = F.rgb_to_grayscale(x, 3)
        if d[SIGMA] > 0: x = F.gaussian_blur(x, blur_window(size), d[SIGMA])
        if d[SOLARIZE]: x = F.solarize(x, 128 / 255)
        view = F.normalize(x, mean, std).to(dtype)

    Nothing is rounded in between. There is no derivative. "triton" is one launch for views of up to 64 pixels; for
    larger ones, one before it finds the mean grays that contrast pivots on, and one after blurs down the columns.

    Of images of other than three channels, each channel becomes a view by itself, as the gray image, in RGB, that
    has it as its red, its green and its blue: contrast pivots on the channel's own mean, and saturation, hue and
    grayscale leave it, but for a share of 0.0001 that torchvision's weights of gray lack. A channel costs as much
    as an image of RGB, and its copy into one.

    Args:
        images: uint8 (B, H, W, C); with `rows`, (N, H, W, C); or, without `rows`, a list of (H, W, C), each of a
            size of its own, for which "cpp" is the only kernel: "auto" takes the reference elsewhere. C is 3 for
            RGB, else of any number. Or uint16, whose white is 65535 where F has 255: the reference is the only
            one, and "auto" takes it.
        draws: fp32 (B, len(Draw)), fp64 in the reference only, which then computes in fp64; on the images' device.
            Boxes have to lie in their image. As the host does not look at what is on the GPU, there the view of a
            box, or of a row, that lies outside is NaN.
        size: S >= 2, side of the views, in pixels.
        mean: C numbers, of each channel over [0, 1].
        std: standard deviation of the same, > 0.
        rows: int64 (B,) in [0, N): sample i is of image rows[i]; None: of image i.
        crop: False: the images are views already, H = W = S; box and flip are not looked at.
        dtype: of the result: fp32, fp16, bf16, or fp64 (reference only).
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Returns:
        (B, C, S, S), channels_last.

    Raises:
        TypeError: an argument that should be a tensor, or a list of them, and is not.
        ValueError: shapes, dtypes or devices that do not fit; numbers out of range.
        RuntimeError: an explicit `impl` that is not available; on the CPU, a box or a row that lies outside.
    """
    checks.check_tensors("view_augment", draws=draws)
    check_numbers(size, mean, std, dtype)
    computed = torch.float64 if dtype == torch.float64 else draws.dtype
    channels = len(std)
    if isinstance(images, (list, tuple)):
        images = list(images)
        check_list(images, draws, rows, crop, channels)
        chosen = _choose(LIST, impl, draws.device, computed, images)
    else:
        checks.check_tensors("view_augment", images=images)
        check_batch(images, draws, rows, size, crop, channels)
        chosen = _choose(OP, impl, images.device, computed, [images])
    make = _views if channels == RGB else _views_by_channel
    return make(chosen, images, draws, rows, size, mean, std, crop, dtype)


def _choose(op: Op, impl: Impl, device: torch.device, computed: torch.dtype, images: Sequence[Tensor]) -> str:
    """Chooses the implementation that makes views of these images; of 16 bits the reference alone does."""
    if all(image.dtype == torch.uint8 for image in images):
        return op.choose(impl, device, computed)
    if impl in ("cpp", "triton"):
        raise RuntimeError(
            f"view_augment: impl={impl!r} is not available: it has no kernel for images of torch.uint16; use "
            "impl='auto', or images of torch.uint8"
        )
    return "reference" if impl == "auto" else op.choose(impl, device)


def _views(
    impl: str,
    images: Tensor | list[Tensor],
    draws: Tensor,
    rows: Tensor | None,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    crop: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Makes the views (B, 3, S, S) of images by the implementation that was chosen."""
    views: Tensor
    if isinstance(images, list):
        if impl == "reference":
            for i, image in enumerate(images):
                check_inside(image[None], draws[i : i + 1], None, True, sample=i)
            return reference.view_augment_list(images, draws, size, mean, std, dtype)
        views = LIST.call(impl, images, draws, size, list(mean), list(std), dtype)
        return views
    if impl == "reference":
        check_inside(images, draws, rows, crop)
        return reference.view_augment(images, draws, rows, size, mean, std, crop, dtype)
    views = OP.call(impl, images, draws, rows, size, list(mean), list(std), crop, dtype)
    return views


def _views_by_channel(
    impl: str,
    images: Tensor | list[Tensor],
    draws: Tensor,
    rows: Tensor | None,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    crop: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Makes the views (B, C, S, S) of images of other than three channels: each channel's by itself."""
    if rows is not None:
        assert isinstance(images, Tensor)
        check_inside(images, draws, rows, crop)
        is_row = (rows >= 0) & (rows < len(images))
        images, draws = reference.picked(images, rows), draws.masked_fill(~is_row[:, None], torch.nan)
    alike = 1 if impl == "reference" else RGB  # the reference crops gray images as they are
    views = []
    for c, (m, s) in enumerate(zip(mean, std, strict=True)):
        one: Tensor | list[Tensor]
        if isinstance(images, Tensor):
            one = _channel(images, c, alike)
        else:
            one = [_channel(image, c, alike) for image in images]
        views.append(_views(impl, one, draws, None, size, (m,) * RGB, (s,) * RGB, crop, dtype)[:, :1])
    return torch.cat(views, dim=1).contiguous(memory_format=torch.channels_last)


def _channel(images: Tensor, number: int, alike: int) -> Tensor:
    """Returns a channel of images (..., C) as gray images of so many channels alike, in the memory that it has."""
    return images[..., number : number + 1].expand(*images.shape[:-1], alike)


@OP.fake
def _(
    images: Tensor,
    draws: Tensor,
    rows: Tensor | None,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    crop: bool,
    dtype: torch.dtype,
) -> Tensor:
    return _empty(draws, size, dtype)


@LIST.fake
def _(
    images: list[Tensor], draws: Tensor, size: int, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype
) -> Tensor:
    return _empty(draws, size, dtype)


def _empty(draws: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    shape = (draws.shape[0], 3, size, size)
    return torch.empty(shape, dtype=dtype, device=draws.device, memory_format=torch.channels_last)


if MISSING["triton"] is None:
    from sslfast.kernels.view_augment import triton_launch

    OP.triton(triton_launch.view_augment)
