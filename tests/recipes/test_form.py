"""Recipes for images of other channels than three, or of 16 bits: what works on colors refuses them."""

import pytest

from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.check import check_form
from sslfast.recipes.load import load_recipe


def of_channels(count, *more):
    return [f"data.channels={count}", f"data.mean={[0.5] * count}", f"data.std={[0.25] * count}", *more]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("exemplar", "cmc")])
def test_methods_that_read_no_colors_take_gray_images(name):
    recipe = load_recipe(name, of_channels(1))
    if "drop_colors" in vars(recipe.method):
        recipe = load_recipe(recipe, ["method.drop_colors=0"])
    check_form(recipe)


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        (
            "simclr",
            ["data.channels=1"],
            r"data.mean: expected 1 numbers, .*got \[0.485, 0.456, 0.406\]; set data.mean",
        ),
        ("simclr", ["data.channels=4", "data.mean=[0.5, 0.5, 0.5, 0.5]"], "data.std: expected 4 numbers"),
        ("simclr", ["data.mean=[0.5]"], "data.mean: expected 3 numbers"),
        (
            "simclr",
            of_channels(4),
            "data.channels=4: saturation, hue and grayscale are of red.*set data.views.0.grayscale=0 "
            "data.views.0.saturation=0 data.views.0.hue=0 data.views.1.grayscale=0",
        ),
        (
            "exemplar",
            of_channels(1),
            "method.name=exemplar takes RGB images only, .*data.channels=1; set it otherwise",
        ),
        ("cmc", of_channels(1), "method.name=cmc takes RGB images only"),
        ("cpc_v2", of_channels(1), "method.drop_colors=1 takes RGB images only"),
        ("context_prediction", of_channels(1), "method.drop_colors=1 takes RGB images only"),
        (
            "context_prediction",
            of_channels(1, "method.drop_colors=0", "method.project_colors=true"),
            "method.project_colors=true takes RGB images only",
        ),
        (
            "simclr",
            of_channels(1, "encoder.colors=lab"),
            "encoder.colors=lab takes RGB images only, .*encoder.colors=rgb",
        ),
        (
            "simclr",
            of_channels(1, "data.pipeline=dali"),
            "data.pipeline=dali, by DALI, takes RGB images of 8 bits only",
        ),
        (
            "simclr",
            ["data.depth=16", "data.pipeline=dali_only"],
            "data.pipeline=dali_only, by DALI, .* data.channels=3 data.depth=16; set data.pipeline=resident",
        ),
    ],
)
def test_what_reads_colors_refuses_other_channels(recipe, overrides, message):
    with pytest.raises(UsageError, match=message):
        check_form(load_recipe(recipe, overrides))


def test_channels_without_changes_of_color_are_taken():
    keys = ("grayscale", "saturation", "hue")
    plain = [f"data.views.{number}.{key}=0" for number in range(2) for key in keys]
    check_form(load_recipe("simclr", of_channels(5, *plain)))
    check_form(
        load_recipe(
            "simclr", of_channels(5, *plain[:1], *plain[3:4], "data.views.0.jitter=0", "data.views.1.jitter=0")
        )
    )
    check_form(load_recipe("simclr", ["data.depth=16"]))
