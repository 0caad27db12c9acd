"""Data sets of Hugging Face by their names; here of files, and no network is asked."""

import numpy as np
import pytest

from sslfast import extras
from sslfast.data import open_source
from sslfast.errors import UsageError
from tests.data.sources.test_shards import jpeg, source_image


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data_set(monkeypatch, tmp_path):
    """The package `datasets`, for which "cats" is a data set of two splits, of one the images given by paths."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"]), text=datasets.Value("string")
    )
    (tmp_path / "5.jpg").write_bytes(jpeg(5))
    images = {"train": [{"bytes": jpeg(i)} for i in range(3)], "test": [{"path": str(tmp_path / "5.jpg")}]}
    splits = {}
    for split, of_split in images.items():
        rows = {"image": of_split, "label": [i % 2 for i in range(len(of_split))], "text": ["a"] * len(of_split)}
        splits[split] = datasets.Dataset.from_dict(rows, features=features)

    def load_dataset(name):
        if name != "cats":
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub (OfflineModeIsEnabled)\nmore")
        return datasets.DatasetDict(splits)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


@pytest.mark.usefixtures("data_set")
def test_images_and_classes_are_those_of_the_split():
    source = open_source("hf:cats")
    assert (len(source), source.classes, source.labels.tolist()) == (3, ["cat", "dog"], [0, 1, 0])
    assert all(np.array_equal(source.image(i), source_image(i)) for i in range(3))
    assert len(open_source("hf:cats:train")) == 3
    test = open_source("hf:cats:test")
    assert len(test) == 1
    assert np.array_equal(test.image(0), source_image(5))


@pytest.mark.usefixtures("data_set")
def test_what_is_not_there_is_refused():
    with pytest.raises(UsageError, match="hf:cats:val: hf:cats has no split 'val'; choose from train, test"):
        open_source("hf:cats:val")
    with pytest.raises(UsageError, match=r"hf:dogs: cannot be loaded \(Couldn.t reach .dogs. .*\); ") as refusal:
        open_source("hf:dogs")
    assert "\n" not in str(refusal.value)


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(extras, "_is_installed", lambda module: module != "datasets")
    with pytest.raises(UsageError, match=r'hf:mnist needs datasets: pip install "sslfast\[huggingface\]"'):
        open_source("hf:mnist")
