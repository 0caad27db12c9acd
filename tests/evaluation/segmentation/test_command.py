"""`sslfast evaluate segment`."""

import pytest
import torch
from safetensors.torch import save_file

from sslfast.commands.evaluate import evaluate
from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.evaluation.result import Evaluation
from tests.evaluation.segmentation.halves import write_halves


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    save_file(build_encoder(EncoderConfig(width=0.125)).state_dict(), file)
    return file


def test_the_result_and_its_pictures_lie_beside_the_weights(weights, tmp_path):
    settings = ["iterations=2", "batch_size=4", "size=32"]
    evaluation = evaluate("segment", weights, write_halves(tmp_path / "data", 12, 0), overrides=settings)
    assert (evaluation.train_images, evaluation.val_images, evaluation.classes) == (11, 1, 3)
    assert [row["encoder"] for row in evaluation.rows] == ["pre-trained", "random initialization"]
    for row in evaluation.rows:
        assert row.keys() == {"encoder", "seed", "miou", "pixel_accuracy", "class_mean", "iou"}
    heading = evaluation.table().splitlines()[2]
    assert "held-out mIoU" in heading
    assert "iou" not in heading.split()
    (file,) = (tmp_path / "evaluation").glob("segment-data-*.json")
    assert Evaluation.load(file) == evaluation
    pictures = {path.name for path in file.parent.glob("*.jpg")}
    assert pictures == {f"{file.stem}.{name}.picture-1.jpg" for name in ("pre-trained", "random_initialization")}


@pytest.mark.real_data
def test_photographs_with_outlines(weights, shared_data):
    archive = shared_data / "coco128" / "coco128-seg.tar.xz"
    settings = ["iterations=2", "batch_size=2", "size=64", "limit=12"]
    evaluation = evaluate("segment", weights, archive, overrides=settings, random_baseline=False)
    assert 0 < evaluation.rows[0]["miou"] < 1
    assert evaluation.classes == 81
