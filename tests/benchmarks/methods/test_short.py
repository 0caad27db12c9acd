"""The settings of short runs."""

import pytest

from sslfast.benchmarks.methods import short
from sslfast.benchmarks.methods.short import CPU, GPU, SHORT, Short
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe


@pytest.mark.parametrize(("scale", "train_images"), [(CPU, 5000), (GPU, 45_000)], ids=["cpu", "gpu"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_can_be_run(method, scale, train_images):
    recipe = short.recipe(method, "CIFAR10", scale, 3, seed=1)
    check_recipe(recipe)
    METHODS[method].check(recipe, train_images)
    hides_patches = METHODS[method].needs_tokens  # its ViT has a width of its own
    assert (recipe.encoder.name, recipe.encoder.stem) == ("vit_small" if hides_patches else "resnet18", "cifar")
    assert hides_patches or recipe.encoder.width == scale.width
    assert (recipe.train.epochs, recipe.train.seed, recipe.data.source) == (3, 1, "CIFAR10")
    assert recipe.data.val_fraction == 0


def test_the_table_of_short_runs_names_methods_and_its_warm_up_is_the_recipe_s_share(monkeypatch):
    assert SHORT.keys() <= METHODS.keys()
    assert all(changes.settings and changes.reason for changes in SHORT.values())
    monkeypatch.setitem(SHORT, "moco_v2", Short(("optim.warmup_epochs=10",), "a test"))
    assert short.recipe("moco_v2", "x", CPU, 20, seed=0).optim.warmup_epochs == 1  # of the recipe's 200
