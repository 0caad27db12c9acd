"""A step that takes its batch in parts is that of the whole batch, where the method says that its loss adds up."""

import pytest
import torch

from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe
from tests.methods.runs import small_recipe
from tests.methods.steps import error, steps, trainer_of

ADDS_UP = sorted(name for name, method in METHODS.items() if method.adds_up)


@pytest.mark.parametrize("name", ADDS_UP)
def test_parts_add_up_to_the_batch(name):
    """Losses, gradients, banks and queues; batch normalization, which is over a part, uses running statistics."""
    start, whole = steps(name)
    _, parts = steps(name, start, "train.accumulate=2")
    assert parts.keys() == whole.keys()
    errors = {key: error(key, parts[key], value) for key, value in whole.items()}
    assert max(errors.values()) < 1e-4, max(errors, key=errors.get)


def test_batch_normalization_is_over_a_part():
    """As it is over a part of the batch under encoder.norm=split, but for the running statistics."""
    gradients = []
    for settings in (["encoder.norm=split", "encoder.norm_splits=2"], ["train.accumulate=2"]):
        trainer = trainer_of("rotation", *settings)
        trainer.train_step.backward(next(trainer.loader.epoch(0)))
        gradients.append([p.grad for p in trainer.method.parameters()])
    for split, accumulated in zip(*gradients, strict=True):
        torch.testing.assert_close(accumulated, split, rtol=1e-3, atol=1e-6)


REFUSED = {
    "simclr": (["train.accumulate=2"], "train.accumulate=2: the loss of simclr depends on the batch as a whole"),
    "moco_v1": (
        ["train.accumulate=2", "method.negatives=batch"],
        "train.accumulate=2: expected method.negatives=queue, got batch",
    ),
    "byol": (
        ["train.accumulate=3"],
        "train.accumulate=3: expected a data.batch_size that is a multiple of 3, .* got 16",
    ),
    "moco_v2": (["train.accumulate=16"], "at least twice that, for batch normalization over its parts; got 16"),
    "msf": (
        ["train.accumulate=2", "encoder.norm=split", "encoder.norm_splits=8"],
        "train.accumulate=2: expected a data.batch_size that is a multiple of 16, at least twice",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_another_loss_is_refused(name):
    overrides, message = REFUSED[name]
    recipe = small_recipe(name, *overrides)
    check = METHODS[name].check if name == "moco_v1" else lambda recipe, num_images: check_recipe(recipe)
    with pytest.raises(UsageError, match=message):
        check(recipe, 64)
