"""The curves that need no labels."""

from sslfast.report.quality import draw_quality
from tests.report.markup import Markup


def evaluated(**values: float) -> list[dict[str, float]]:
    return [{"step": i, "epoch": float(i), **{name: v + i / 10 for name, v in values.items()}} for i in range(3)]


def test_what_was_logged_is_drawn() -> None:
    features = evaluated(feature_rank=8.0, feature_std=0.0, feature_alignment=0.5, feature_uniformity=-2.0)
    rank, std, both, information = draw_quality([*features, *evaluated(mi_bound=1.0)])
    assert Markup(rank).charts == ["Effective rank of the features. effective rank: 8 at epoch 0, 8.2 at epoch 2."]
    assert "standard deviation: 0 at epoch 0, 0.2 at epoch 2." in Markup(std).charts[0]
    assert "alignment: 0.5 at epoch 0" in Markup(both).charts[0]
    assert "uniformity: -2 at epoch 0" in Markup(both).charts[0]
    assert "moving average: 1 at epoch 0" in Markup(information).charts[0]


def test_a_run_without_them_has_no_such_curves() -> None:
    assert list(draw_quality(evaluated(loss=1.0))) == []
