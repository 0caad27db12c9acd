"""What every protocol promises."""

from pathlib import Path

import pytest
import torch

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.evaluation import PROTOCOLS
from sslfast.evaluation.help import describe
from sslfast.evaluation.options import EvaluationConfig
from sslfast.evaluation.result import HEADINGS
from tests.evaluation.pictures import DATA, pictures

QUICK = {
    "linear": {"epochs": 2},
    "finetune": {"epochs": 6, "head_lr": 1.0},
}  # settings that a test has the time for


@pytest.fixture(params=sorted(PROTOCOLS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_rows_are_of_the_table_and_the_encoder_stays_as_it_is(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(stem="cifar", width=0.125)).eval()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    protocol = PROTOCOLS[name]
    options = protocol.config(device="cpu", **QUICK.get(name, {}))
    train, val = pictures(30, 0), pictures(12, 1)
    rows = protocol.judge(encoder, train, val, DATA, options, tmp_path / name)
    assert rows
    for row in rows:
        assert row.keys() <= HEADINGS.keys() - {"encoder"} | {"confusion"}
        assert all(0 <= value <= 1 for value in row.values() if isinstance(value, float))
        assert row["top1"] > 0.5  # a brightness is plain to any encoder
    assert sum(images for _, _, images in rows[0]["confusion"]) == len(val)
    assert {"top1", "class_mean"} <= rows[-1].keys()
    assert rows == protocol.judge(encoder, train, val, DATA, options, tmp_path / name)
    assert not encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_settings_are_shared_and_described(name: str) -> None:
    config = PROTOCOLS[name].config
    assert issubclass(config, EvaluationConfig)
    assert config.__doc__ != EvaluationConfig.__doc__
    text = describe()
    assert f"settings of {name}" in text
    for setting in config.__pydantic_fields__:
        assert f"\n  {setting}=" in text, f"{setting} has no docstring"
