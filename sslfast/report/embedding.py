"""A picture of the features of held-out images in two dimensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from sslfast.report.style import CLASS_COLORS, CLASS_MARKERS, axes, save, shortened

PERPLEXITY = 30.0  # scikit-learn's default
FEWEST = 10  # images that make a picture
NAMED = len(CLASS_COLORS) * len(CLASS_MARKERS)  # classes with a colour and a marker of their own


def draw_embedding(
    x: NDArray[np.float32], labels: NDArray[np.int64] | None, classes: list[str], path: Path
) -> Path | None:
    """Draws a t-SNE (van der Maaten and Hinton 2008) of features, coloured by class where there are labels.

    Args:
        x: (N, D) features of unit norm.
        labels: (N,) positions in `classes`, or None.
        classes: names of the classes; beyond the first 20 they share pale dots.
        path: the PNG to write.

    Returns:
        The path; None where fewer than 10 images make no picture.
    """
    if len(x) < FEWEST:
        return None
    tsne = TSNE(perplexity=min(PERPLEXITY, (len(x) - 1) / 3), init="pca", random_state=0)
    points = tsne.fit_transform(x)  # [N, 2]

    figure, plot = axes(5.0, f"t-SNE of the features of {len(x)} images", "", "")
    plot.grid(visible=False)
    plot.spines[["left", "bottom"]].set_visible(False)
    plot.set(xticks=[], yticks=[])
    plot.set_aspect("equal", adjustable="datalim")
    if labels is None:
        plot.scatter(points[:, 0], points[:, 1], s=10, color=CLASS_COLORS[0], linewidths=0)
        return save(figure, path)

    others = points[labels >= NAMED]
    if len(others):
        plot.scatter(
            others[:, 0], others[:, 1], s=6, color="#d8d8d8", linewidths=0, label=f"{len(classes) - NAMED} others"
        )
    for number, name in enumerate(classes[:NAMED]):
        marker, color = divmod(number, len(CLASS_COLORS))
        members = points[labels == number]
        plot.scatter(
            members[:, 0],
            members[:, 1],
            s=14,
            color=CLASS_COLORS[color],
            marker=CLASS_MARKERS[marker],
            linewidths=0,
            label=shortened(name, 24),
        )
    figure.legend(loc="outside right center", frameon=False, fontsize=9, markerscale=1.6, handletextpad=0.3)
    return save(figure, path)
