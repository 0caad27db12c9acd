"""The sections of a report about the features of an encoder."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.data import Source, split
from sslfast.data.sources.subset import balanced_subset
from sslfast.encoders import Encoder
from sslfast.evaluation.features import features
from sslfast.evaluation.images import VAL_FRACTION
from sslfast.extras import install
from sslfast.report.embedding import FEWEST, draw_embedding, has_tsne, legend
from sslfast.report.neighbors import NEIGHBORS, draw_neighbors
from sslfast.report.page import pair, paragraph, section
from sslfast.weights import NamedEncoder

# Images whose features are computed: a report is to take a minute on a CPU, not to measure anything.
BANK, HELD_OUT = 2000, 500
TRAINED, RANDOM = "pre-trained", "random weights"


def feature_sections(found: NamedEncoder, source: Source, *, is_run_data: bool) -> Iterator[str]:
    """Yields the nearest neighbors of held-out images, and their embedding, each beside that of random weights.

    Args:
        found: the encoder, on the device to compute on.
        source: the images.
        is_run_data: the images are those that the run was trained on.

    Raises:
        UsageError: too few images can be read.
    """
    data, trained = found.data, found.encoder
    device = next(trained.parameters()).device
    random = found.untrained().to(device)
    bank, held_out = (
        part.subset(balanced_subset(part.labels, len(part), most))
        for part, most in zip(split(source, data.val_fraction or VAL_FRACTION), (BANK, HELD_OUT), strict=True)
    )
    bank, trained_bank = _unit_features(trained, bank, data, device)
    held_out, trained_held_out = _unit_features(trained, held_out, data, device)
    bank, random_bank = _unit_features(random, bank, data, device)
    held_out, random_held_out = _unit_features(random, held_out, data, device)

    neighbors, right = draw_neighbors(
        bank, held_out, {TRAINED: (trained_bank, trained_held_out), RANDOM: (random_bank, random_held_out)}
    )
    lines = [
        f"Images, each beside the {min(NEIGHBORS, len(bank))} of {len(bank):,} others whose features are "
        "nearest by cosine, the nearest first: by the pre-trained encoder, and by the same encoder with random "
        "weights.",
        "Good: the pre-trained encoder's neighbors show the same kind of thing. Those of random weights share "
        "little but their colors.",
    ]
    if source.labels is not None:
        lines.append(
            "A solid line below a neighbor: it is of the query's class; a dotted one: it is not. "
            f"{right[TRAINED]} neighbors shown are of the query's class, and {right[RANDOM]} with random weights."
        )
    if is_run_data:  # which training splits in the same way, if it does
        all_trained_on = source.labels is None or not data.val_fraction
        lines.append(
            "The run trained on all of them." if all_trained_on else "The run did not train on the queries."
        )
    yield section("Nearest neighbors", *map(paragraph, lines), neighbors)

    if len(held_out) < FEWEST:
        yield section("Embedding", paragraph(f"{len(held_out)} held-out images are too few for one."))
        return
    drawings = [
        draw_embedding(name, x.numpy(), held_out.labels)
        for name, x in ((TRAINED, trained_held_out), (RANDOM, random_held_out))
    ]
    yield section(
        "Embedding",
        paragraph(
            f"A t-SNE of the features of {len(held_out):,} images: near points have like features. The distances "
            "between groups, and their sizes, mean nothing."
            if has_tsne()
            else f"The first two principal components of the features of {len(held_out):,} images. A t-SNE, which "
            f"also shows groups that overlap here, needs scikit-learn: {install('report')}"
        ),
        paragraph(
            "Without labels it shows groups, and not what they have in common."
            if held_out.labels is None
            else "Good: points of a class gather, and more so than with random weights."
        ),
        legend(held_out.labels, held_out.classes),
        pair(*drawings),
    )


def _unit_features(
    encoder: Encoder, source: Source, data: DataConfig, device: torch.device
) -> tuple[Source, Tensor]:
    """Returns the images that can be read, and their features at unit norm (N, D), on the CPU."""
    x, index = features(encoder, source, data, device)
    return source.subset(index.numpy()), F.normalize(x, dim=1).cpu()
