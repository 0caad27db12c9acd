"""The opening of a source: what a name means, and what a recipe's `data` section says."""

import errno
import os

import pytest

from sslfast.config import DataConfig
from sslfast.data import open_data, open_source
from sslfast.errors import UsageError


def test_missing_path_suggests_its_neighbor(make_folder):
    root = make_folder()
    with pytest.raises(UsageError, match=f"no such file or folder; did you mean {root}"):
        open_source(str(root.parent / "imagse"))


def test_missing_path_in_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UsageError, match="images: no such file or folder$"):
        open_source(str(tmp_path / "images"))


def test_unknown_name_suggests_a_data_set():
    with pytest.raises(UsageError, match="did you mean CIFAR10"):
        open_source("cifar10")
    with pytest.raises(UsageError, match="did you mean shapes"):
        open_source("shape")


def test_a_file_that_is_no_archive(make_image, tmp_path):
    with pytest.raises(UsageError, match="expected a folder or an archive"):
        open_source(str(make_image(tmp_path / "one.jpg")))


def test_a_recipes_data_is_opened_as_it_says(make_folder):
    root = str(make_folder(per_class=10))
    source = open_data(DataConfig(source=root, limit=4, max_bad=0.25, on_error="stop"))
    assert source.paths == open_source(root, limit=4).paths
    assert (source.bad.total, source.bad.max_share, source.bad.on_error) == (4, 0.25, "stop")
