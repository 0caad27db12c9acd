"""The section of a report with the alignment maps of LEWEL: where in an image its aligned embeddings are from.

Huang et al. 2022 (arXiv:2203.14898), figure 1 and appendix C.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sslfast.config import DataConfig, Recipe
from sslfast.data import Source, eval_batches, split
from sslfast.data.sources.subset import balanced_subset
from sslfast.errors import UsageError
from sslfast.evaluation.images import VAL_FRACTION
from sslfast.methods import Method
from sslfast.methods.parts.aligned_head import AlignedHead, LEWELConfig
from sslfast.report.page import escape, paragraph, picture, section
from sslfast.report.shown import shown_channels
from sslfast.report.viridis import viridis
from sslfast.weights.method import load_method

IMAGES, MAPS = 8, 5
SIDE = 128  # pixels of a picture
LEARNED = ("coupled", "separate")  # of `method.maps`: the others have no maps, or draw them anew in every step
SHARE = 0.6  # of the map's color in a picture; the rest is the image's luminance
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601


class Aligned(NamedTuple):
    """An image and its first alignment maps.

    Attributes:
        position: the image's in the source.
        image: fp32 (3, S, S) in [0, 1], as the encoder saw it.
        maps: fp32 (K, h, w), each of sum 1.
    """

    position: int
    image: Tensor
    maps: Tensor


def alignment_maps(run: Path, recipe: Recipe, source: Source, *, is_run_data: bool) -> Iterator[str]:
    """Yields the section of a run of LEWEL that learns its maps; of another run there is none.

    Args:
        run: the run's directory, which has a checkpoint.
        recipe: the run's.
        source: the images.
        is_run_data: the images are those that the run was trained on.

    Raises:
        UsageError: the checkpoint is of other networks, or no image can be read.
    """
    if not isinstance(recipe.method, LEWELConfig) or recipe.method.maps not in LEARNED:
        return
    data = recipe.data
    _, held_out = split(source, data.val_fraction or VAL_FRACTION)
    shown = held_out.subset(balanced_subset(held_out.labels, len(held_out), IMAGES))
    found = find_maps(load_method(run), shown, data)
    lines = [
        f"Images, each beside its first {len(found[0].maps)} of {recipe.method.dim} alignment maps. A map is the "
        "weights of an image's places in a mean of their features, of which an aligned embedding is made. Violet "
        "is its least weight, yellow its greatest; below it stand both, where 1 is the weight in the plain mean.",
        "Good: a map is yellow on the same kind of thing in every image, and the maps of an image differ. Weights "
        "are seldom far from 1, as a place's scores for all maps together have length 1.",
    ]
    if is_run_data:
        all_trained_on = source.labels is None or not data.val_fraction
        lines.append("The run trained on all of them." if all_trained_on else "The run did not train on them.")
    yield section("Alignment maps", *map(paragraph, lines), *(_row(shown, aligned) for aligned in found))


@torch.no_grad()
def find_maps(method: Method, shown: Source, data: DataConfig) -> list[Aligned]:
    """Crops the images that can be read as evaluations do, and finds their first alignment maps.

    Raises:
        UsageError: no image can be read.
    """
    found = []
    head = method.get_submodule("head")
    assert isinstance(head, AlignedHead)
    for images, index in eval_batches(shown, data.size, data, IMAGES, torch.device("cpu")):
        maps = head.alignment_maps(method.encoder(images, dense=True))
        assert maps is not None
        rows = zip(index.tolist(), shown_channels(images, data), maps[:, :MAPS], strict=True)
        found += [Aligned(*row) for row in rows]
    if not found:
        raise UsageError(f"{shown.name}: none of its {len(shown)} images can be read")
    return found


def _row(source: Source, aligned: Aligned) -> str:
    """Draws an image, and its maps laid over it, each above its title."""
    label = "" if source.labels is None else source.classes[source.labels[aligned.position]]
    side, mode = aligned.image.shape[-1], "bilinear" if aligned.image.shape[-1] > SIDE else "nearest-exact"
    image = F.interpolate(aligned.image[None], (SIDE, SIDE), mode=mode, antialias=side > SIDE)[0]
    gray = torch.tensor(LUMINANCE) @ image.flatten(1)
    gray = ((gray - gray.min()) / (gray.max() - gray.min()).clamp_min(1 / 255)).view(1, SIDE, SIDE)
    figures = [_figure(image, label or "image", "")]
    for number, weights in enumerate(aligned.maps, start=1):
        even = weights * weights.numel()
        smooth = F.interpolate(even[None, None], (SIDE, SIDE), mode="bilinear")[0, 0]
        overlaid = torch.lerp(gray, viridis(smooth), SHARE)
        figures.append(_figure(overlaid, f"map {number}", f"{even.min():.2f} to {even.max():.2f}"))
    return f'<div class="views strip">{"".join(figures)}</div>'


def _figure(image: Tensor, title: str, weights: str) -> str:
    """Draws a picture (3, S, S) in [0, 1] above its title; `weights` says which are a map's least and greatest."""
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    told = f"{title}, weights {weights}" if weights else title
    caption = escape(title) + (f" <small>{escape(weights)}</small>" if weights else "")
    return f"<figure>{picture(Image.fromarray(pixels), told)}<figcaption>{caption}</figcaption></figure>"
