"""Recipes by name and by file, their presets, and the way back to YAML."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from sslfast import device
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import from_dict, from_stored, load_recipe, recipes, to_dict, to_yaml

FP32 = ["train.precision=fp32"]  # a stored recipe says which it is


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_valid_and_can_run(name):
    check_recipe(load_recipe(name))


@pytest.mark.parametrize("name", recipes())
def test_recipes_survive_yaml(name):
    recipe = load_recipe(name)
    assert from_dict(yaml.safe_load(to_yaml(recipe))) == recipe


def test_stored_recipes_of_a_version_without_bf16_on_the_cpu_are_read(monkeypatch):
    stored = to_dict(load_recipe("moco_v2"))
    assert stored["train"]["precision"] == "auto"
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: True)
    assert from_stored(stored, "config.yaml").train.precision == "fp32"
    stored["train"]["device"] = "cuda:1"
    assert from_stored(stored, "config.yaml").train.precision == "bf16"


@pytest.mark.parametrize("name", ["densecl", "lewel_m", "pcl"])
def test_stored_recipes_of_an_earlier_version_are_read(name):
    recipe = load_recipe(name, FP32)
    stored = to_dict(recipe)
    stored["method"] |= {"negatives": "queue", "bank_momentum": 0.5}
    assert from_stored(stored, "config.yaml") == recipe
    with pytest.raises(UsageError, match=r"config\.yaml: unknown key 'method\.bank_size'"):
        from_stored({**stored, "method": {**stored["method"], "bank_size": 5}}, "config.yaml")


def test_stored_recipes_without_a_range_are_read():
    """Those of runs that are older than the setting."""
    recipe = load_recipe("moco_v2", ["data.range=[0, 4095]", *FP32])
    stored = to_dict(recipe)
    assert from_stored(stored, "config.yaml") == recipe
    assert stored["data"].pop("range") == [0, 4095]
    assert from_stored(stored, "config.yaml") == load_recipe("moco_v2", FP32)


def test_stored_recipes_without_choices_of_images_are_read():
    recipe = load_recipe("moco_v2", ["data.labels=false", "data.classes=imagenet100", *FP32])
    stored = to_dict(recipe)
    assert from_stored(stored, "config.yaml") == recipe
    assert (stored["data"].pop("labels"), stored["data"].pop("classes")) == (False, "imagenet100")
    assert from_stored(stored, "config.yaml") == load_recipe("moco_v2", FP32)


def test_images_of_one_source_or_several():
    assert load_recipe("moco_v2", data=Path("a")).data.source == "a"
    assert load_recipe("moco_v2", data=["a"]).data.source == "a"
    assert load_recipe("moco_v2", ["data.source=[a]"]).data.source == "a"
    several = load_recipe("moco_v2", data=["a: b", Path("c")])
    assert several.data.source == ["a: b", "c"]
    assert from_dict(yaml.safe_load(to_yaml(several))) == several
    for value in ("5", "[]", "[a, 5]", "{a: 1}", "null"):
        with pytest.raises(UsageError, match=r"data\.source: .*expected the name or the path .*, got") as refusal:
            load_recipe("moco_v2", [f"data.source={value}"])
        assert "; " not in str(refusal.value)


def test_every_method_has_a_recipe():
    assert {load_recipe(name).method.name for name in recipes()} == set(METHODS)


SYNCHRONIZED = {
    *("barlow_twins", "byol", "dcl", "deepcluster_v2", "dino", "fast_moco", "mncl", "moco_v3", "msf", "nnclr"),
    *("align_uniform", "jigsaw_clustering", "simclr", "simsiam", "supcon", "swav", "vicreg"),
}


@pytest.mark.parametrize("method", sorted(SYNCHRONIZED))
def test_batch_statistics_are_of_all_devices_where_they_are_so_in_the_sources(method):
    """SimCLR, section 2.2: else a network can tell a positive by its device's statistics."""
    assert load_recipe(f"{method}_imagenet").encoder.norm == "sync"


def test_a_preset_stands_for_its_views_which_can_be_changed():
    byol = load_recipe("moco_v2_cifar10", ["data.views=byol"]).data.views
    assert [view.solarize for view in byol] == [0, 0.2]
    changed = load_recipe("moco_v2_cifar10", ["data.views=byol", "data.views.1.blur=0.5"]).data.views
    assert changed == [byol[0], dataclasses.replace(byol[1], blur=0.5)]
    of_recipe = load_recipe("moco_v2", ["data.views.0.flip=0"]).data.views  # whose recipe names a preset
    assert [(view.flip, view.blur) for view in of_recipe] == [(0, 0.5), (0.5, 0.5)]


def test_a_recipe_file_is_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("method: {name: moco_v2, dim: 32}\ntrain: {seed: 7}\n")
    recipe = load_recipe(str(path))
    assert (recipe.method.dim, recipe.train.seed) == (32, 7)
    assert load_recipe(path) == recipe


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'moco_v2_cifar10'"):
        load_recipe("moco_v2_cifar")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("mocov2", "did you mean 'moco_v2'?"),
        ("MoCo-v2", "did you mean 'moco_v2'?"),
        ("zzz", "recipe 'zzz': no such recipe or file; `sslfast list` lists the"),
        ("mine.yml", "mine.yml: no such file or folder; did you mean mine.yaml?"),
        ("here/mine.yaml", "here/mine.yaml: no such file or folder"),
    ],
)
def test_a_mistyped_recipe_is_answered_in_a_line(tmp_path, monkeypatch, recipe, message):
    (tmp_path / "mine.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        load_recipe(recipe)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("- a", "expected a mapping, got list")])
def test_a_broken_recipe_file_is_refused(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(str(path))


def test_a_recipe_that_is_loaded_takes_overrides():
    recipe = load_recipe("byol_cifar10")
    changed = load_recipe(recipe, ["train.epochs=3", "data.views.1.blur=0.5"])
    assert changed == load_recipe("byol_cifar10", ["train.epochs=3", "data.views.1.blur=0.5"])
    assert load_recipe(recipe) is recipe
    with pytest.raises(UsageError, match="unknown key 'train.epoch'"):
        load_recipe(recipe, ["train.epoch=3"])


@pytest.mark.parametrize("data", ["2024 #a", "null", "photos", Path("some/photos")])
def test_data_is_the_source_as_it_stands(data):
    """No YAML, whatever it looks like."""
    assert load_recipe("byol_cifar10", ["data.source=other"], data=data).data.source == str(data)
