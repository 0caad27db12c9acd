"""Real data sets, opened by the ways that their names allow: halves, splits, chosen classes, without labels."""

import numpy as np
import pytest

from sslfast.data import open_source
from sslfast.errors import UsageError
from sslfast.evaluation.images import open_labeled, train_and_test
from sslfast.evaluation.options import ClassificationConfig

pytestmark = [pytest.mark.real_data, pytest.mark.slow]  # the archives are unpacked

DOG, CHURCH = "n02102040", "n03028079"  # English springer, church


@pytest.fixture
def halves(shared_data):
    return [str(shared_data / "imagenette160" / f"train-{i}.tar.xz") for i in range(2)]


@pytest.fixture
def val(shared_data):
    return str(shared_data / "imagenette160" / "val.tar.xz")


def test_imagenettes_halves_are_one_training_set(halves, val, tmp_path):
    (tmp_path / "two.txt").write_text(f"{DOG} # English springer\n{CHURCH} # church\n")
    data, held_out = train_and_test(halves, val, ClassificationConfig())
    train, test = open_labeled(data, held_out, ClassificationConfig())
    assert (len(train), len(test), len(train.classes)) == (9469, 3925, 10)
    assert train.classes == test.classes == sorted(train.classes)
    assert [path.parent.name for path in test.paths] == [test.classes[label] for label in test.labels]
    train, test = open_labeled(data, held_out, ClassificationConfig(classes=str(tmp_path / "two.txt")))
    assert train.classes == [DOG, CHURCH]
    assert np.bincount(train.labels).tolist() == [955, 941]
    assert np.bincount(test.labels).tolist() == [395, 409]
    with pytest.raises(UsageError, match=r"train-0.*\+.*lacks 100 of the 100 classes that classes= names"):
        open_labeled(data, held_out, ClassificationConfig(classes="imagenet100"))


def test_imagenette_as_a_folder_of_splits(halves, val, tmp_path):
    for split, archive in (("train", halves[0]), ("val", val)):
        (tmp_path / split).symlink_to(open_source(archive).roots[0], target_is_directory=True)
    data, held_out = train_and_test(str(tmp_path), None, ClassificationConfig())
    assert (data, held_out) == ([f"{tmp_path}:train"], [f"{tmp_path}:val"])
    train, test = open_labeled(data, held_out, ClassificationConfig(limit=50))
    assert (np.bincount(train.labels).tolist(), np.bincount(test.labels).tolist()) == ([5] * 10, [5] * 10)
    with pytest.raises(UsageError, match="4735 of its 4735 images are given by another --data already"):
        open_source([halves[0], f"{tmp_path}:train"])


def test_cifar10_without_labels_and_by_some_classes(shared_data):
    archive = str(shared_data / "cifar10" / "train.tar.xz")
    assert len(open_source(archive).classes) == 10
    unlabeled = open_source(archive, labels=False)
    assert (len(unlabeled), unlabeled.labels) == (50000, None)
    some = open_source(archive, classes=["truck", "bird"], limit=10)
    assert (some.classes, np.bincount(some.labels).tolist()) == (["truck", "bird"], [5, 5])
    assert {path.parent.name for path in some.paths} == {"truck", "bird"}
    assert some.image(0).size == (32, 32)
