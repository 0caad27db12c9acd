"""Recipes, overrides, and what is said about a wrong one."""

import dataclasses

import pytest
import yaml

from sslfast.config import Recipe
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.check import check
from sslfast.recipes.load import describe, from_dict, load_recipe, recipes, to_dict, to_yaml


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_valid_and_can_run(name):
    check(load_recipe(name))


@pytest.mark.parametrize("name", recipes())
def test_config_survives_yaml(name):
    config = load_recipe(name)
    assert from_dict(yaml.safe_load(to_yaml(config))) == config


def test_every_method_has_a_recipe():
    assert {load_recipe(name).method.name for name in recipes()} == set(METHODS)


SYNCHRONISED = {
    *("barlow_twins", "byol", "deepcluster_v2", "fast_moco", "mncl", "moco_v3", "nnclr", "simclr", "simsiam"),
    *("supcon", "swav"),
}


@pytest.mark.parametrize("method", sorted(SYNCHRONISED))
def test_batch_statistics_are_of_all_devices_where_they_are_so_in_the_sources(method):
    """SimCLR, section 2.2: else a network can tell a positive by its device's statistics."""
    assert load_recipe(f"{method}_imagenet").encoder.norm == "sync"


def test_overrides_set_nested_values_with_their_types():
    config = load_recipe(
        "moco_v2_cifar10",
        [
            "train.epochs=3",
            "optim.lr=1e-3",
            "data.limit=null",
            "data.mean=[0.1, 0.2, 0.3]",
            "method.symmetric=true",
        ],
    )
    assert config.train.epochs == 3
    assert config.optim.lr == 1e-3
    assert config.data.limit is None
    assert config.data.mean == (0.1, 0.2, 0.3)
    assert config.method.symmetric is True


def test_override_of_one_view_leaves_the_others():
    plain = load_recipe("moco_v2_shapes")  # takes the default views: it has none of its own
    config = load_recipe("moco_v2_shapes", ["data.views.1.blur=0.5"])
    assert config.data.views[1].blur == 0.5
    assert config.data.views[0] == plain.data.views[0]


def test_a_preset_stands_for_its_views_which_can_be_changed():
    byol = load_recipe("moco_v2_cifar10", ["data.views=byol"]).data.views
    assert [view.solarize for view in byol] == [0, 0.2]
    changed = load_recipe("moco_v2_cifar10", ["data.views=byol", "data.views.1.blur=0.5"]).data.views
    assert changed == [byol[0], dataclasses.replace(byol[1], blur=0.5)]
    of_recipe = load_recipe("moco_v2", ["data.views.0.flip=0"]).data.views  # whose recipe names a preset
    assert [(view.flip, view.blur) for view in of_recipe] == [(0, 0.5), (0.5, 0.5)]


def test_a_recipe_file_is_read(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("method: {name: moco_v2, dim: 32}\ntrain: {seed: 7}\n")
    config = load_recipe(str(recipe))
    assert (config.method.dim, config.train.seed) == (32, 7)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'epochs'?"),
        ("dta.size=3", "unknown key 'dta'; did you mean 'data'?"),
        ("method.temprature=3", "unknown key 'method.temprature'; did you mean 'temperature'?"),
        ("data.views.0.blurr=1", "unknown key 'data.views.0.blurr'; did you mean 'blur'?"),
        ("data.views.2.blur=1", "data.views.2.blur: expected an index below 2, got '2'"),
        ("train.epochs=many", "train.epochs: .*integer.*got 'many'"),
        ("optim.lr=-1", "optim.lr: input should be greater than 0, got -1"),
        ("optim.name=adam", "optim.name: input should be 'sgd', 'lars' or 'adamw', got 'adam'"),
        ("method.name=moco_2", "method.name: no method 'moco_2'; did you mean 'moco_v2'?"),
        ("data.mean=[0.5]", "data.mean.1 is missing"),
        ("data.views=byo1", "data.views: no preset 'byo1'; did you mean 'byol'?"),
        ("data.views=5", "data.views: input should be a valid list, got 5"),
        ("data.size.x=1", "data.size.x: 'x' is inside a setting that holds 32"),
        ("train.epochs", "'train.epochs': expected key.sub=value"),
        ("train.epochs=true", "train.epochs: input should be a valid integer, got True"),
        ("data.views.0.scale=[1, 0.2]", "data.views.0.scale: value error, expected the least first"),
        ("optim.lr=.inf", "optim.lr: input should be a finite number, got inf"),
        ("train.seed=-1", "train.seed: input should be greater than or equal to 0, got -1"),
        ("data.mean=[", "the value is not YAML"),
    ],
)
def test_a_wrong_override_is_explained(override, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?").replace("[", r"\[")):
        load_recipe("moco_v2_cifar10", [override])


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'moco_v2_cifar10'"):
        load_recipe("moco_v2_cifar")


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("- a", "expected a mapping, got list")])
def test_a_broken_recipe_file_is_refused(tmp_path, text, message):
    recipe = tmp_path / "broken.yaml"
    recipe.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(str(recipe))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.views=[{}]"], "expected the 2 views of moco_v2, got 1"),
        (["data.batch_size=501"], "expected a multiple of encoder.norm_splits=8"),
        (["data.batch_size=8"], "data.batch_size=8: expected a multiple of encoder.norm_splits=8, at least twice"),
        (["optim.warmup_epochs=3", "train.epochs=3"], "warmup_epochs=3: expected fewer than train.epochs=3"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(overrides, message):
    with pytest.raises(UsageError, match=message):
        check(load_recipe("moco_v2_cifar10", overrides))


def test_every_setting_is_described_with_its_default():
    text = describe(Recipe)
    for section, values in to_dict(load_recipe("moco_v2")).items():
        for name in values:
            if name != "name" or section != "method":
                assert f"  {section}.{name}=" in text
    assert "data.views.0.blur_sigma=[0.1, 2.0]" in text
    assert "optim.betas=[0.9, 0.999]" in text
    assert "method.temperature=0.07" in text  # moco_v1's
    assert "method.temperature=0.2" in text  # moco_v2's
