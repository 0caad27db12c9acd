"""Pictures of features in two dimensions."""

import re
import sys

import numpy as np
import pytest

from sslfast.report.embedding import draw_embedding, legend
from tests.report.markup import Markup


def test_embedding_of_many_classes() -> None:
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    labels, classes = np.arange(60) % 30, [f"class {i}" for i in range(30)]
    figure = draw_embedding("pre-trained", x, labels)
    assert Markup(figure).charts == ["t-SNE of the features of 60 images, pre-trained"]
    assert figure.count("<path") == 21  # ten colors of dots and of triangles, and the others
    assert figure.count("M") == 60
    assert figure.index('class="others"') < figure.index("--class-0")  # below the rest
    text = Markup(legend(labels, classes)).text
    assert "class 19" in text
    assert "class 20" not in text
    assert "10 others" in text


def test_without_labels() -> None:
    x = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    assert draw_embedding("pre-trained", x, None).count("<path") == 1
    assert legend(None, []) == ""


def test_without_scikit_learn_it_is_the_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    x = np.zeros((12, 8), dtype=np.float32)
    x[:, 3] = np.linspace(-1, 1, 12)  # all the variance is in one direction
    figure = draw_embedding("pre-trained", x, None)
    assert Markup(figure).charts == ["PCA of the features of 12 images, pre-trained"]
    places = [tuple(map(float, place)) for place in re.findall(r"M([\d.]+) ([\d.]+)h0", figure)]
    steps = np.diff([x for x, _ in places])
    assert np.allclose(steps, steps[0], atol=0.2)
    assert abs(steps[0]) > 30
    assert {y for _, y in places} == {200.0}


@pytest.mark.parametrize("value", [0.0, 0.35, np.nan])
def test_features_that_have_collapsed(value: float) -> None:
    """t-SNE from their principal components crashes the process."""
    figure = Markup(draw_embedding("pre-trained", np.full((40, 8), value, np.float32), None))
    assert "the encoder has collapsed" in figure.text
    assert figure.charts == []
