"""The sections of a report about the features of a run's latest checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.config import Recipe
from sslfast.data import Source, split
from sslfast.data.sources.subset import balanced_subset
from sslfast.device import choose_device
from sslfast.encoders import Encoder
from sslfast.evaluation.features import features
from sslfast.report.embedding import draw_embedding
from sslfast.report.grids import draw_neighbors
from sslfast.report.page import paragraph, picture, section
from sslfast.weights import load_encoder

# Images whose features are computed: a report is to take a minute on a CPU, not to measure anything.
BANK, HELD_OUT = 4000, 1000


def feature_sections(
    run_dir: Path, source: Source, recipe: Recipe, folder: Path, *, is_run_data: bool
) -> Iterator[str]:
    """The nearest neighbours of held-out images, and their embedding, which are drawn into a folder.

    Args:
        run_dir: a run's directory, with a checkpoint.
        source: the images.
        recipe: the run's.
        folder: where the pictures go.
        is_run_data: the images are those that the run was trained on.

    Raises:
        UsageError: no checkpoint can be read, or too few images can.
    """
    device = choose_device("auto")
    encoder = load_encoder(run_dir, device)
    bank, held_out = (
        part.subset(balanced_subset(part.labels, len(part), most))
        for part, most in zip(split(source, recipe.data.val_fraction or 0.1), (BANK, HELD_OUT), strict=True)
    )
    bank, bank_x = _unit_features(encoder, bank, recipe, device)
    held_out, held_out_x = _unit_features(encoder, held_out, recipe, device)
    neighbors = draw_neighbors(bank, held_out, bank_x, held_out_x, folder / "neighbours.png")
    notes = []
    if is_run_data:  # which training splits in the same way, if it does
        all_trained_on = source.labels is None or not recipe.data.val_fraction
        notes.append(
            "The run trained on all of them." if all_trained_on else "The run did not train on the queries."
        )
    yield section(
        "Nearest neighbours",
        paragraph(f"Images, each beside the nearest of {len(bank)} others by the cosine of their features."),
        *map(paragraph, notes),
        picture(neighbors.name, "A grid of images and their nearest neighbours"),
    )
    embedding = draw_embedding(held_out_x.numpy(), held_out.labels, held_out.classes, folder / "embedding.png")
    if embedding is None:
        yield section("Embedding", paragraph(f"{len(held_out)} held-out images are too few for one."))
        return
    yield section(
        "Embedding",
        paragraph("Near points have like features; distances between groups mean nothing."),
        picture(embedding.name, "A two-dimensional embedding of held-out images"),
    )


def _unit_features(
    encoder: Encoder, source: Source, recipe: Recipe, device: torch.device
) -> tuple[Source, Tensor]:
    """The images that can be read, and their features at unit norm (N, D), on the CPU."""
    x, index = features(encoder, source, recipe.data, device)
    return source.subset(index.numpy()), F.normalize(x, dim=1).cpu()
