"""Held-out images beside those that an encoder takes for like them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from PIL import ImageOps
from torch import Tensor

from sslfast.data import Source
from sslfast.data.sources.subset import balanced_subset
from sslfast.report.page import escape, picture

QUERIES, NEIGHBORS = 8, 5
SIDE = 128  # pixels of a picture, at most: a page of 88 of them is to stay small enough to be mailed


def draw_neighbors(
    bank: Source, queries: Source, features: Mapping[str, tuple[Tensor, Tensor]]
) -> tuple[str, dict[str, int]]:
    """Draws some queries, each beside the images of the bank that each encoder has nearest to it, by cosine.

    Where there are labels a line below a neighbor tells whether it is of the query's class.

    Args:
        bank: N images.
        queries: M images.
        features: by an encoder's name, its features (N, D) of the bank and (M, D) of the queries, of unit norm.

    Returns:
        (markup, right): the figures; and by an encoder's name, how many of its neighbors are of the query's class,
            where there are labels.
    """
    shown = balanced_subset(queries.labels, len(queries), QUERIES)
    count = min(NEIGHBORS, len(bank))
    nearest = {
        name: (query_x[torch.from_numpy(shown)] @ bank_x.T).topk(count).indices.tolist()
        for name, (bank_x, query_x) in features.items()
    }
    rows, right = [], dict.fromkeys(nearest, 0)
    for row, query in enumerate(shown.tolist()):
        sides = []
        for name, of_rows in nearest.items():
            same = [_is_same_class(queries, query, bank, neighbor) for neighbor in of_rows[row]]
            right[name] += sum(same)
            sides.append(_side(name, bank, of_rows[row], same))
        asked = _figure(queries, query, "", "query")
        rows.append(f'<div class="query">\n<div><p>query</p>{asked}</div>\n{"".join(sides)}\n</div>')
    return "\n".join(rows), right


def _is_same_class(queries: Source, query: int, bank: Source, neighbor: int) -> bool:
    if queries.labels is None or bank.labels is None:
        return False
    return bool(queries.labels[query] == bank.labels[neighbor])


def _side(name: str, bank: Source, neighbors: list[int], same: list[bool]) -> str:
    """Draws a row of neighbors under their encoder's name."""
    kinds = ["" if bank.labels is None else "same" if is_same else "other" for is_same in same]
    figures = [
        _figure(bank, neighbor, kind, f"neighbor {place}")
        for place, (neighbor, kind) in enumerate(zip(neighbors, kinds, strict=True), start=1)
    ]
    return f'<div><p>{escape(name)}</p><div class="strip">{"".join(figures)}</div></div>\n'


def _figure(source: Source, index: int, kind: str, description: str) -> str:
    """Shows an image over its class; `kind` is its class in the page's style."""
    image = source.image(index)
    if max(image.size) > SIDE:
        image = ImageOps.contain(image, (SIDE, SIDE))
    label = "" if source.labels is None else source.classes[source.labels[index]]
    told = ": ".join(part for part in (description, label) if part)
    caption = f"<figcaption>{escape(label)}</figcaption>" if label else ""
    return f'<figure class="{kind}">{picture(image, told)}{caption}</figure>'
