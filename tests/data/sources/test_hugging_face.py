"""Data sets of Hugging Face by their names; here one in a folder, and no network is asked."""

import numpy as np
import pytest

from sslfast import extras
from sslfast.data import open_source
from sslfast.errors import UsageError
from tests.data.sources.test_shards import source_image


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def cats(monkeypatch, tmp_path):
    """Writes a data set of two splits, a repository as the Hub has them, and returns its name."""
    pytest.importorskip("datasets", reason="datasets is not installed")
    from tests.data.sources.test_parquet import described  # which needs pyarrow

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "of datasets")
    described(tmp_path / "cats" / "data" / "train-00000-of-00001.parquet")
    described(tmp_path / "cats" / "data" / "test-00000-of-00001.parquet", 5, labels=(1,))
    return f"hf:{tmp_path}/cats"


def test_images_and_classes_are_those_of_the_split(cats):
    source = open_source(cats)
    assert (source.classes, source.labels.tolist()) == (["dog", "tabby, tabby cat"], [1, 0, 1])
    assert all(np.array_equal(source.image(i), source_image(i)) for i in range(3))
    assert len(open_source(f"{cats}:train")) == 3
    test = open_source(f"{cats}:test")
    assert (test.classes, len(test)) == (["dog"], 1)
    assert np.array_equal(test.image(0), source_image(5))


def test_what_is_not_there_is_refused(cats):
    with pytest.raises(UsageError, match="cats has no split 'val'; choose from train, test"):
        open_source(f"{cats}:val")
    with pytest.raises(UsageError, match=r"hf:.*dogs: cannot be loaded \(.*\); check the name") as refusal:
        open_source(cats.replace("cats", "dogs"))
    assert "\n" not in str(refusal.value)


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(extras, "_is_installed", lambda module: module != "datasets")
    with pytest.raises(UsageError, match=r'hf:mnist needs datasets: pip install "sslfast\[huggingface\]"'):
        open_source("hf:mnist")
