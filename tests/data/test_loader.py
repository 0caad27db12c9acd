"""The choice of a training pipeline, what is refused, and images that are decoded once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sslfast.config import DataConfig
from sslfast.data import LoaderSpec, Source, load_small, loader, make_loader, open_source, split
from sslfast.data.resident import ResidentLoader
from sslfast.errors import UsageError

CPU = torch.device("cpu")


def config(**changes):
    return DataConfig(**{"size": 16, "batch_size": 4, **changes})


def load(source, **changes):
    return make_loader(LoaderSpec(source, config(**changes), 3, CPU))


@pytest.fixture
def source():
    images = np.random.default_rng(0).integers(0, 256, (18, 20, 24, 3), dtype=np.uint8)
    return Source("noise", images=images)


def test_auto_keeps_small_images_and_hands_large_ones_to_dali(make_folder, tmp_path, monkeypatch):
    small = open_source(str(make_folder()))
    large = open_source(str(make_folder(size=(200, 150), root=tmp_path / "large")))
    assert isinstance(load(small), ResidentLoader)
    assert isinstance(load(large, pipeline="resident"), ResidentLoader)
    assert load_small(large, config(), CPU) is large
    monkeypatch.setattr(loader, "has_dali", lambda: False)
    with pytest.raises(UsageError, match=r'missing: pip install "sslfast\[dali1[23]\]", or leave it auto'):
        load(small, pipeline="dali")


def test_dali_cannot_read_an_array(source):
    with pytest.raises(UsageError, match="data.pipeline=dali reads files"):
        load(source, pipeline="dali")


def test_fewer_images_than_a_batch(source):
    with pytest.raises(UsageError, match="18 images are fewer than one batch of 19; set data.batch_size to 18"):
        load(source, batch_size=19)


def test_parts_of_a_split_are_loaded_each_without_its_unreadable_files(make_folder):
    root = make_folder(per_class=10)
    (root / "cat" / "003.png").write_bytes(b"")
    files = split(open_source(str(root), max_bad=0.1), 0.2)
    for part in files:
        array = load_small(part, config(), CPU)
        readable = [i for i, path in enumerate(part.paths) if path.stat().st_size]
        assert (array.labels == part.labels[readable]).all()
        assert all((array.images[row] == np.asarray(part.image(i))).all() for row, i in enumerate(readable))
    assert len(files[0].bad) == 1


def test_a_part_without_images_is_loaded(make_folder):
    train, val = (load_small(part, config(), CPU) for part in split(open_source(str(make_folder())), 0))
    assert (len(train), len(val)) == (8, 0)


def test_tests_draw_photographs_where_dali_is_missing():
    """Else the files of tests that need them could not be collected there."""
    script = "import sys; sys.modules['nvidia.dali'] = None; import tests.data.photographs"
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=True)
