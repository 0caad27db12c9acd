"""`evaluate detect`: from an encoder and annotated images to average precision and pictures."""

import pytest
from PIL import Image

from sslfast.config import DataConfig
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.detection.protocol import DETECT
from tests.data.annotations.drawn import draw, write_voc

DATA = DataConfig()
QUICK = {"device": "cpu", "size": 64, "rois": 8, "batch_size": 2, "iterations": 2}


def judged(encoder, stem, data, val=None, **settings):
    options = DetectConfig(**{**QUICK, **settings})
    found = DETECT.open(data, val, options, None)
    (row,) = DETECT.judge(encoder, found.train, found.val, DATA, found.options, stem)
    return row


def test_boxes_and_masks_are_measured_and_drawn(encoder, drawn, tmp_path):
    row = judged(encoder, tmp_path / "out" / "stem", f"{drawn}:train", f"{drawn}:val", limit=4)
    assert {"ap", "ap50", "ap75", "ap_small", "mask_ap", "mask_ap50", "mask_ap_small"} <= row.keys()
    pictures = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert pictures == [f"stem.picture-{number}.jpg" for number in (1, 2, 3, 4)]
    with Image.open(tmp_path / "out" / "stem.picture-1.jpg") as picture:
        assert picture.format == "JPEG"


def test_boxes_alone(encoder, tmp_path):
    write_voc(tmp_path / "voc", draw(12, 0))
    row = judged(encoder, tmp_path / "stem", str(tmp_path / "voc"))
    assert row.keys() == {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"}


def test_it_learns_what_the_untrained_cannot(encoder, drawn, tmp_path):
    settings = {"size": 96, "rois": 16, "batch_size": 4, "lr": 0.3, "masks": False}
    data = f"{drawn}:train", f"{drawn}:val"
    untrained = judged(encoder, tmp_path / "a", *data, **settings, iterations=1)
    trained = judged(encoder, tmp_path / "b", *data, **settings, iterations=60)
    assert untrained["ap50"] < 0.05 < 0.3 < trained["ap50"]


@pytest.mark.long
def test_masks_are_learned(encoder, drawn, tmp_path):
    settings = {"size": 128, "rois": 16, "batch_size": 4, "iterations": 160}
    row = judged(encoder, tmp_path / "stem", f"{drawn}:train", f"{drawn}:val", **settings)
    assert row["ap50"] > 0.6
    assert row["mask_ap50"] > 0.6


@pytest.mark.real_data
def test_photographs(encoder, shared_data, tmp_path):
    archive = str(shared_data / "coco128" / "coco128-seg.tar.xz")
    row = judged(encoder, tmp_path / "stem", archive, limit=20, max_bad=0.1)
    assert row["ap"] is not None
    assert len(list(tmp_path.glob("*.jpg"))) == 2
