"""The picture of training steps."""

import pytest

from sslfast.benchmarks.train.plot import STYLES, picture
from sslfast.benchmarks.train.record import OURS, TrainResult
from tests.benchmarks.texts import check_texts


def result(case, method, pipeline, rate, overhead):
    share = overhead if pipeline == OURS else None
    return TrainResult(case, method, pipeline, 256, 1e3 / rate, rate, share, None, 5, "c")


def results(case, methods, rate, overhead=0.0077):
    return [result(case, method, pipeline, rate, overhead) for method in methods for pipeline in STYLES]


@pytest.mark.parametrize("rate", [9.5, 1_051.0, 118_500.0])
def test_no_text_covers_another(rate):
    drawn = results("resnet50, 224 pixels", ["byol"], rate)
    drawn += results("vit_small, 224 pixels", ["moco_v3"], rate / 7)
    drawn += results("resnet18, 32 pixels", ["context_prediction", "swav"], 9 * rate, -0.04)
    check_texts(picture(drawn))


def test_equal_rates_do_not_hide_one_another():
    rates, _ = picture(results("resnet18, 32 pixels", ["byol"], 20.0)).axes
    places = [line.get_ydata()[0] for line in rates.lines]
    assert len(places) == len({*places}) == len(STYLES)
    assert places[0] == 0  # ours stands beside the method's name
