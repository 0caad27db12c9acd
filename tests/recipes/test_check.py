"""Settings that cannot work together are refused before anything is read or written."""

import pytest

from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.views=[{}]"], "expected the 2 views of moco_v2, got 1"),
        (["data.batch_size=501"], "expected a multiple of encoder.norm_splits=8"),
        (["data.batch_size=8"], "data.batch_size=8: expected a multiple of encoder.norm_splits=8, at least twice"),
        (["optim.warmup_epochs=3", "train.epochs=3"], "warmup_epochs=3: expected fewer than train.epochs=3"),
        (["encoder.pool=mean"], "pool=mean: is of vit_small and vit_base only, and encoder.name=resnet18; set"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(overrides, message):
    with pytest.raises(UsageError, match=message):
        check_recipe(load_recipe("moco_v2_cifar10", overrides))


def test_a_view_that_is_cut_need_not_fit_the_encoder():
    """Of 33 pixels PIRL's encoder sees patches of 8; turned, all of them."""
    settings = ["encoder.name=vit_small", "encoder.patch_size=8", "data.views.1.size=33"]
    recipe = load_recipe("pirl_cifar10", settings)
    assert METHODS["pirl"].sides(recipe) == {32, 8}
    check_recipe(recipe)
    with pytest.raises(UsageError, match=r"^encoder.patch_size=8: .* got 33 pixels"):
        check_recipe(load_recipe(recipe, ["method.pretext=rotation"]))
