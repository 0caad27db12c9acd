"""Folders of splits and of classes, by their names, as data sets in use have them."""

import pytest

from sslfast.data.sources.split_folders import split_folders

SPLITS = [
    ["train", "val"],
    ["TRAIN", "TEST"],
    ["Training", "Testing"],  # brain tumours, fruits
    ["seg_train", "seg_test", "seg_pred"],  # Intel's scenes
    ["train2017", "val2017", "test2017", "unlabeled2017"],  # COCO
    ["train", "test", "unlabeled"],  # STL-10
    ["train_images", "test_images", "unlabeled_images"],
    ["train", "unlabeled"],
    ["train", "extra"],
    ["labeled", "unlabeled"],
    ["imagenet-train", "imagenet-val"],
    ["ILSVRC2012_img_train", "ILSVRC2012_img_val"],
    ["imagenet1k_train", "imagenet1k_valid"],
    ["val_large", "test_large", "train_large_places365standard"],
    ["train", "train_extra", "val", "test"],  # Cityscapes
    ["train", "test", "valid", "images to predict"],
    ["training", "validation", "evaluation"],  # Food-11
    ["trainA", "trainB", "testA", "testB"],  # CycleGAN's
    ["TrainingSet", "TestSet"],
    ["trainset", "testset"],
    ["train_images", "test_data"],
    ["train.split", "dev.split"],
    ["1_train", "2_test"],
    ["my set train", "my set test"],
    ["clipart_train", "clipart_test", "sketch_train", "sketch_test"],
    ["bounding_box_train", "bounding_box_test", "query"],  # Market-1501
    ["query", "gallery"],
    ["train_0", "train_1", "train_f", "validation", "test"],  # Open Images
    ["train_0", "train_1"],
    ["chest_xray", "train", "val", "test"],  # the set again, beside its splits
    ["Train", "Test", "Meta"],  # GTSRB
    ["Training", "Test", "test-multiple_fruits", "papers"],  # Fruits-360
]
CLASSES = [
    ["cat", "dog"],
    ["0", "1", "2"],
    ["train"],
    ["bus", "train"],
    ["bus", "car", "train", "tram"],
    ["training_shoes", "test_tube"],
    ["training_shoes", "trainer", "test_tube", "valley"],
    ["test_tube", "beaker"],
    ["Trainers", "Testers"],
    ["strain", "contest", "interval", "latest"],
    ["valid", "invalid"],
    ["positive_test", "negative_test"],
    ["covid_test_positive", "covid_test_negative"],
    ["blood_test", "pregnancy_test"],
    ["electric_train", "steam_train"],
    ["train", "steam_train"],
    ["train_station_1", "train_station_2"],
    ["good", "bad", "test"],
    ["gallery", "museum"],
    ["extra_large", "large"],
    ["test_pattern", "color_bars", "dev_board", "train_station"],
    ["unlabeled", "cat", "dog"],
    ["train", "test", "cat", "dog"],  # as many as are none
]


@pytest.mark.parametrize("names", SPLITS, ids=str)
def test_splits(names):
    found = split_folders(sorted(names))
    assert set(found) == set(names) - {"chest_xray", "Meta", "papers"}


@pytest.mark.parametrize("names", CLASSES, ids=str)
def test_classes(names):
    assert split_folders(names) == []
