"""Pictures of the features of held-out images in two dimensions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sslfast.extras import missing
from sslfast.report.page import COLORS, aside, escape

PERPLEXITY = 30.0  # scikit-learn's default
FEWEST = 10  # images that make a picture
SAME = 1e-6  # spread of features of unit norm that is but rounding
NAMED = 2 * COLORS  # classes with a color and a marker of their own: dots, then triangles
SIDE, MARGIN = 400, 8  # of a drawing
DOT = 6  # across
TRIANGLE = "m-3.5 3l3.5 -6l3.5 6z"


def draw_embedding(name: str, x: NDArray[np.float32], labels: NDArray[np.int64] | None) -> str:
    """Draws a t-SNE (van der Maaten and Hinton 2008) of features as a figure, colored by class.

    Without scikit-learn it draws their first two principal components. Of features that are all the same it says
    so: t-SNE crashes on them.

    Args:
        name: the encoder's, for the figure's title.
        x: (N, D) features of unit norm, at least FEWEST.
        labels: (N,) the classes' numbers, or None; beyond the first 20 classes share pale dots.
    """
    if not x.std(axis=0).max() > SAME:  # also of NaN
        drawn = aside("All images have the same features here: the encoder has collapsed.")
    else:
        points = _placed(_tsne(x) if has_tsne() else _principal_components(x))
        numbers = np.zeros(len(x), dtype=np.int64) if labels is None else np.minimum(labels, NAMED)
        present = sorted({*numbers.tolist()}, reverse=True)  # the pale dots of the others first, below the rest
        groups = [_group(number, points[numbers == number]) for number in present]
        told = escape(f"{'t-SNE' if has_tsne() else 'PCA'} of the features of {len(x)} images, {name}")
        drawn = f'<svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{told}">{"".join(groups)}</svg>'
    return f"<figure>\n<figcaption><h3>{escape(name.capitalize())}</h3></figcaption>\n{drawn}\n</figure>"


def has_tsne() -> bool:
    """Tells whether scikit-learn is installed, whose t-SNE it is."""
    return not missing("report")


def _tsne(x: NDArray[np.float32]) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE

    points: NDArray[np.float32] = TSNE(
        perplexity=min(PERPLEXITY, (len(x) - 1) / 3), init="pca", random_state=0
    ).fit_transform(x)
    return points


def _principal_components(x: NDArray[np.float32]) -> NDArray[np.float32]:
    centered = torch.from_numpy(x - x.mean(axis=0))
    u, s, _ = torch.linalg.svd(centered, full_matrices=False)
    return (u[:, :2] * s[:2]).numpy()


def legend(labels: NDArray[np.int64] | None, classes: list[str]) -> str:
    """Lists the classes' markers and names; nothing without labels."""
    if labels is None:
        return ""
    present = sorted({*np.minimum(labels, NAMED).tolist()})
    center = np.array([[6.0, 6.0]])
    items = (
        f'<li><svg class="dot" viewBox="0 0 12 12" aria-hidden="true">{_group(number, center)}</svg>'
        f"{escape(classes[number] if number < NAMED else f'{len(classes) - NAMED} others')}</li>"
        for number in present
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _placed(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Moves and scales points (N, 2) alike in both directions into the drawing."""
    points = points.astype(np.float64)
    low, high = points.min(0), points.max(0)
    size = (high - low).max() or 1.0
    return (points - (low + high) / 2) / size * (SIDE - 2 * MARGIN) + SIDE / 2


def _group(number: int, points: NDArray[np.float64]) -> str:
    """Draws the markers of a class as one path, as a page of thousands of elements is slow."""
    places = [f"M{x:.1f} {y:.1f}" for x, y in points]
    if number == NAMED:
        return f'<path class="others" d="{"".join(place + "h0" for place in places)}"/>'
    color = f"var(--class-{number % COLORS})"
    if number < COLORS:
        # A line of no length with round ends is a dot.
        dots = "".join(place + "h0" for place in places)
        return f'<path stroke="{color}" stroke-width="{DOT}" stroke-linecap="round" d="{dots}"/>'
    return f'<path fill="{color}" d="{"".join(place + TRIANGLE for place in places)}"/>'
