"""Images beside their nearest neighbors."""

import re

import numpy as np
import torch

from sslfast.data import Source
from sslfast.report.neighbors import draw_neighbors
from tests.report.markup import Markup


def along(angles: list[float]) -> torch.Tensor:
    """Makes unit features at these angles from the first axis."""
    x = torch.tensor(angles)
    return torch.stack([x.cos(), x.sin()], dim=1)


def sources(side: int = 4) -> tuple[Source, Source]:
    black = np.zeros((6, side, side, 3), dtype=np.uint8)
    bank = Source("bank", images=black, labels=np.array([0, 1, 0, 1, 0, 1]), classes=["even", "odd"])
    return bank, Source("query", images=black[:1], labels=np.array([1]), classes=["even", "odd"])


def test_lines_tell_right_neighbors_from_wrong_ones() -> None:
    bank, query = sources()
    near, far = along([0.3, 0.1, 0.2, 0.5, 0.4, 3.0]), along([0.3, 2.9, 0.2, 2.8, 0.1, 0.4])
    asked = along([0.0])
    markup, right = draw_neighbors(bank, query, {"trained": (near, asked), "random": (far, asked)})
    assert Markup(markup).pictures == [
        "query: odd",
        *("neighbor 1: odd", "neighbor 2: even", "neighbor 3: even", "neighbor 4: even", "neighbor 5: odd"),
        *("neighbor 1: even", "neighbor 2: even", "neighbor 3: even", "neighbor 4: odd", "neighbor 5: odd"),
    ]
    kinds = re.findall(r'<figure class="(\w*)">', markup)
    assert kinds == ["", "same", "other", "other", "other", "same", "other", "other", "other", "same", "same"]
    assert right == {"trained": 2, "random": 2}


def test_without_labels_nothing_is_right_or_wrong() -> None:
    bank, query = (Source(source.name, images=source.images) for source in sources())
    markup, right = draw_neighbors(bank, query, {"trained": (along([0.1] * 6), along([0.0]))})
    assert set(re.findall(r'<figure class="(\w*)">', markup)) == {""}
    assert right == {"trained": 0}


def test_large_images_are_made_small() -> None:
    bank, query = sources(side=600)
    markup, _ = draw_neighbors(bank, query, {"trained": (along([0.1] * 6), along([0.0]))})
    assert set(re.findall(r'width="(\d+)" height="(\d+)"', markup)) == {("128", "128")}
