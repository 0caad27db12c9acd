"""What every protocol promises."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sslfast.config import EncoderConfig
from sslfast.data.annotations import open_annotated
from sslfast.encoders import build_encoder
from sslfast.evaluation.configs import CONFIGS
from sslfast.evaluation.help import describe
from sslfast.evaluation.options import EvaluationConfig
from sslfast.evaluation.protocol import CONFUSION, IOU
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.evaluation.result import HEADINGS
from tests.data.annotations.drawn import draw, write_coco
from tests.evaluation.pictures import DATA, pictures
from tests.evaluation.segmentation.halves import halves

QUICK = {
    "linear": {"epochs": 2},
    "finetune": {"epochs": 6, "head_lr": 1.0},
    "segment": {"iterations": 20, "batch_size": 8, "size": 32, "lr": 0.2},
    "detect": {"iterations": 2, "batch_size": 2, "size": 64, "rois": 8},
}  # settings that a test has the time for
# What a row is judged by, and the least of it; of others the top-1. Detection takes longer to learn.
MEASURES = {"segment": ("miou", 0.3), "detect": ("ap", 0.0)}


@pytest.fixture(params=sorted(PROTOCOLS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def images(name: str, folder: Path) -> tuple[Any, Any]:
    """Makes training and held-out images of a protocol, plain to any encoder by their brightness or colors."""
    if name == "segment":
        return halves(folder / "train", 24, 0), halves(folder / "val", 8, 1)
    if name == "detect":
        parts = [write_coco(folder / part, draw(3, seed)) for seed, part in enumerate(("train", "val"))]
        return open_annotated(parts[0]), open_annotated(parts[1])
    return pictures(30, 0), pictures(12, 1)


def test_rows_are_of_the_table_and_the_encoder_stays_as_it_is(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(stem="cifar", width=0.125)).eval()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    protocol = PROTOCOLS[name]
    options = protocol.config(device="cpu", **QUICK.get(name, {}))
    train, val = images(name, tmp_path)
    measure, least = MEASURES.get(name, ("top1", 0.5))
    rows = protocol.judge(encoder, train, val, DATA, options, tmp_path / name)
    assert rows
    for row in rows:
        assert row.keys() <= HEADINGS.keys() - {"encoder"} | {CONFUSION, IOU}
        assert all(0 <= value <= 1 for value in row.values() if isinstance(value, float))
        assert row[measure] >= least
    if measure == "top1":
        assert sum(images for _, _, images in rows[0][CONFUSION]) == len(val)
    if measure != "ap":
        assert "class_mean" in rows[-1]
    assert rows == protocol.judge(encoder, train, val, DATA, options, tmp_path / name)
    assert not encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_settings_are_shared_and_described(name: str) -> None:
    config = PROTOCOLS[name].config
    assert list(CONFIGS.items()) == [(other, protocol.config) for other, protocol in PROTOCOLS.items()]
    assert issubclass(config, EvaluationConfig)
    assert config.__doc__ != EvaluationConfig.__doc__
    text = f"{describe(name)}\n{describe('common')}"
    assert f"settings of {name}" in text
    assert f"  {name} " in describe("")
    for setting in config.__pydantic_fields__:
        assert f"\n  {setting}=" in text, f"{setting} has no docstring"
