"""A drawn data set and an encoder, as small as a detector can take."""

import pytest
import torch

from sslfast.config import EncoderConfig
from sslfast.data.annotations import open_annotated
from sslfast.encoders import build_encoder
from tests.data.annotations.drawn import draw, write_coco


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Writes the folder of a data set in COCO's form, with the splits train and val."""
    root = tmp_path_factory.mktemp("drawn")
    write_coco(root, draw(24, seed=0), "train")
    return write_coco(root, draw(8, seed=1), "val")


@pytest.fixture
def images(drawn):
    return open_annotated(f"{drawn}:train")


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(name="resnet18", width=0.125)).eval()
