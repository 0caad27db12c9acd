"""Limits: balanced over the classes, and the same images every time."""

import numpy as np

from sslfast.data import open_source


def test_limit_is_balanced_and_fixed(make_folder):
    root = str(make_folder(classes=("ant", "bee", "cat"), per_class=10))
    limited = open_source(root, limit=8)
    assert len(limited) == 8
    assert sorted(np.bincount(limited.labels)) == [2, 3, 3]
    assert limited.paths == open_source(root, limit=8).paths
    assert limited.paths == sorted(limited.paths)
    assert set(limited.paths) < set(open_source(root, limit=15).paths)
    assert len(open_source(root, limit=100)) == 30


def test_limit_takes_small_classes_whole(tmp_path, make_image):
    for i in range(12):
        make_image(tmp_path / "many" / f"{i}.png")
    make_image(tmp_path / "one" / "0.png")
    assert np.bincount(open_source(str(tmp_path), limit=6).labels).tolist() == [5, 1]


def test_limit_without_labels(tmp_path, make_image):
    for i in range(10):
        make_image(tmp_path / f"{i}.png")
    assert len(open_source(str(tmp_path), limit=4)) == 4
