"""The sections of a report that need no checkpoint: the curves, the views."""

from __future__ import annotations

import dataclasses

import torch
from PIL import Image

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.report.curves import Metrics, draw_curves
from sslfast.report.page import escape, pair, paragraph, picture, section
from sslfast.report.quality import draw_quality
from sslfast.report.views import Pixels, view_rows


def training(metrics: Metrics, held_out_images: int, initial: str) -> str:
    """Draws the curves of the run, which started from weights that are called `initial`."""
    curves = [*draw_curves(metrics, held_out_images, initial), *draw_quality(metrics)]
    if not curves:
        return section("Training", paragraph("The run has logged nothing yet."))
    return section("Training", pair(*curves))


def views(source: Source, recipe: Recipe) -> str:
    """Shows some images and the run's views of them."""
    # As the resident pipeline makes them, which needs no DALI: of an elongated image the ends do not show.
    resident = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, pipeline="resident"))
    return section(
        "Augmented views",
        paragraph("Images, and views of them as training brings them together."),
        paragraph(
            "Good: a person still tells what a view shows. What a view hides, such as color or place, the network "
            "learns to ignore."
        ),
        *(_strip(caption, pictures) for caption, pictures in view_rows(source, resident, torch.device("cpu"))),
    )


def _strip(caption: str, pictures: list[Pixels]) -> str:
    """Shows a row of pictures below its caption."""
    shown = (picture(Image.fromarray(p), f"{caption}, image {n}") for n, p in enumerate(pictures, start=1))
    return (
        f'<figure class="views"><figcaption>{escape(caption)}</figcaption>\n'
        f'<div class="strip">{"".join(shown)}</div></figure>'
    )
