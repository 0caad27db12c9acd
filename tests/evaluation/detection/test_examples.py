"""Training batches of annotated images."""

import dataclasses

import numpy as np
import pytest
import torch

from sslfast.errors import UsageError
from sslfast.evaluation.detection.examples import flip, read_example, training_batches


def same(one, other):
    (image, target), (other_image, other_target) = one, other
    return torch.equal(image, other_image) and all(torch.equal(target[key], other_target[key]) for key in target)


def batches_of(images, iterations, seed=0, masks=True):
    batches = training_batches(images, batch_size=5, iterations=iterations, seed=seed, masks=masks)
    return [example for batch in batches for example in batch]


def test_an_example(images):
    image, target = read_example(images, 0, masks=True)
    objects = images.objects(0)
    assert np.array_equal(image.permute(1, 2, 0), images.image(0))
    assert target["labels"].tolist() == (objects.labels + 1).tolist()
    assert target["masks"].shape == (len(objects), 48, 64)
    assert "masks" not in read_example(images, 0, masks=False)[1]


def test_a_flip_takes_boxes_and_masks_along(images):
    example = read_example(images, 0, masks=True)
    image, target = flip(*example)
    assert torch.equal(image, example[0].flip(-1))
    for box, mask in zip(target["boxes"], target["masks"], strict=True):
        y, x = mask.nonzero().unbind(1)
        extent = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
        assert extent.tolist() == pytest.approx(box.tolist(), abs=1)
    assert same(flip(image, target), example)


def test_batches_depend_on_their_iteration_alone(images):
    whole = batches_of(images, range(12))
    assert len(whole) == 60
    assert all(map(same, whole[15:], batches_of(images, range(3, 12))))
    assert not all(map(same, whole, batches_of(images, range(12), seed=1)))


def test_each_pass_takes_every_image_once_and_flips_about_half(images):
    passes = [example for example, _ in zip(batches_of(images, range(10)), range(48), strict=False)]
    whole = [read_example(images, index, masks=True) for index in range(24)]
    flipped = [flip(*example) for example in whole]
    for start in (0, 24):
        part = passes[start : start + 24]
        plain = [any(same(example, other) for other in whole) for example in part]
        assert 4 < sum(plain) < 20
        assert all(sum(same(e, o) for e in part for o in pair) == 1 for pair in zip(whole, flipped, strict=True))


def test_ignored_objects_are_not_trained_on(images):
    objects = images.objects(0)
    count = len(objects)
    ignored = dataclasses.replace(objects, ignored=np.arange(count) == 0)
    one = images.subset([0])
    one._objects[0] = ignored
    ((_, target),) = next(iter(training_batches(one, batch_size=1, iterations=range(1), seed=0, masks=True)))
    assert {key: len(value) for key, value in target.items()} == dict.fromkeys(target, count - 1)


def test_an_image_that_is_gone_is_told(images):
    gone = images.subset([0])
    gone.paths[0] = gone.paths[0].with_name("gone.png")
    with pytest.raises(UsageError, match="gone.png: can no longer be read"):
        batches_of(gone, range(1))
