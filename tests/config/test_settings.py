"""Overrides, and what is said about a wrong one."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from sslfast.config import DataConfig, ViewConfig
from sslfast.config.fields import STRICT, Count
from sslfast.config.settings import apply_overrides, flat, settings_of, union_members
from sslfast.config.validation import validate
from sslfast.errors import UsageError
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe, recipe_schema
from sslfast.recipes.presets import PRESETS


@dataclass(config=STRICT)
class Circle:
    name: Literal["circle"]
    radius: Count = 1


@dataclass(config=STRICT)
class Square:
    name: Literal["square"]
    side: Count = 1

    def __post_init__(self):
        if self.side == 13:
            raise ValueError("no square has this side")


@dataclass(config=STRICT)
class Drawing:
    shape: Annotated[Circle | Square, Field(discriminator="name")]
    colors: list[str] | None = None


def test_overrides_set_nested_values_with_their_types():
    recipe = load_recipe(
        "moco_v2_cifar10",
        [
            "train.epochs=3",
            "optim.lr=1e-3",
            "data.limit=null",
            "data.mean=[0.1, 0.2, 0.3]",
            "method.symmetric=true",
        ],
    )
    assert recipe.train.epochs == 3
    assert recipe.optim.lr == 1e-3
    assert recipe.data.limit is None
    assert recipe.data.mean == (0.1, 0.2, 0.3)
    assert recipe.method.symmetric is True


def test_a_mapping_sets_what_texts_set():
    texts = ["train.epochs=3", "data.mean=[0.1, 0.2, 0.3]", "data.views.1.blur=0.7", "encoder.weights=a/b"]
    nested = {
        "train": {"epochs": 3},
        "data.mean": (0.1, 0.2, 0.3),
        "data": {"views.1.blur": 0.7},
        "encoder": {"weights": Path("a/b")},
    }
    assert load_recipe("moco_v2_cifar10", nested) == load_recipe("moco_v2_cifar10", texts)
    assert settings_of({"a": {"b": {}}, "c": []}) == [("a.b", {}), ("c", [])]


def test_the_whole_keys_of_nested_settings():
    values = {"data": {"views": [{"blur": 0.1}, {"blur": 0.2}], "limit": None}, "step_at": [], "epochs": 3}
    assert dict(flat(values)) == {
        "data.views.0.blur": 0.1,
        "data.views.1.blur": 0.2,
        "data.limit": None,
        "step_at": [],
        "epochs": 3,
    }
    assert list(flat([5], "k")) == [("k.0", 5)]


def test_override_of_one_view_leaves_the_others():
    plain = load_recipe("moco_v2_shapes")  # takes the default views: it has none of its own
    recipe = load_recipe("moco_v2_shapes", ["data.views.1.blur=0.5"])
    assert recipe.data.views[1].blur == 0.5
    assert recipe.data.views[0] == plain.data.views[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ("dta.size=3", "unknown key 'dta'; did you mean 'data'?"),
        ("method.temprature=3", "unknown key 'method.temprature'; did you mean 'method.temperature'?"),
        ("data.views.0.blurr=1", "unknown key 'data.views.0.blurr'; did you mean 'data.views.0.blur'?"),
        ("data.views.2.blur=1", "data.views.2.blur: expected an index below 2, got '2'"),
        ("train.epochs=many", "train.epochs: .*integer.*got 'many'"),
        ("optim.lr=-1", "optim.lr: input should be greater than 0, got -1"),
        ("optim.name=adam", "optim.name: input should be 'sgd', 'lars' or 'adamw', got 'adam'"),
        ("method.name=moco_2", "method.name: no method 'moco_2'; did you mean 'moco_v2'?"),
        ("data.mean=[]", "data.mean: tuple should have at least 1 item"),
        (
            "data.mean=[123.7, 116.3, 103.5]",
            "data.mean: value error, expected statistics of values in [0, 1], to which images are scaled first; "
            "divide those of 0 to 255 by 255, got [123.7, 116.3, 103.5]",
        ),
        ("data.std=[58.4, 57.1, 57.4]", "data.std: value error, expected statistics of values in [0, 1]"),
        ("data.mean=[0.5, -0.1, 0.5]", "data.mean: value error, expected statistics of values in [0, 1]"),
        ("data.range=[4095, 0]", "data.range: value error, expected the value of black below that of white"),
        ("data.range=[0, .inf]", "data.range.1: input should be a finite number, got inf"),
        ("data.views=byo1", "data.views: no preset 'byo1'; did you mean 'byol'?"),
        ("data.views=5", "data.views: input should be a valid list, got 5"),
        ("data.size.x=1", "data.size.x: 'x' is inside a setting that holds 32"),
        ("train.epochs", "'train.epochs': expected key.sub=value"),
        ("train.epochs=true", "train.epochs: input should be a valid integer, got True"),
        (
            "data.views.0.region=[0, 0.5, 1, 0.5]",
            "data.views.0.region: value error, expected top, left, bottom, right",
        ),
        ("data.views.0.scale=[1, 0.2]", "data.views.0.scale: value error, expected the least first"),
        ("optim.lr=.inf", "optim.lr: input should be a finite number, got inf"),
        ("train.seed=-1", "train.seed: input should be greater than or equal to 0, got -1"),
        ("data.mean=[", "the value is not YAML"),
        ("epochs=5", "unknown key 'epochs'; did you mean 'train.epochs'?"),
        ("epoch=5", "unknown key 'epoch'; did you mean 'train.epochs'?"),
        ("batch_size=32", "unknown key 'batch_size'; did you mean 'data.batch_size'?"),
        ("size=32", "unknown key 'size'; did you mean 'data.size'?"),
        ("blur=1", "unknown key 'blur'; did you mean 'data.views.0.blur'?"),
        ("train.lr=1", "unknown key 'train.lr'; did you mean 'optim.lr'?"),
        ("momentum=1", "unknown key 'momentum'; did you mean 'method.momentum' or 'optim.momentum'?"),
        ("temprature=1", "unknown key 'temprature'; did you mean 'method.temperature'?"),
        (
            "data.zzz=1",
            f"key 'data.zzz'; `sslfast pretrain --help data` lists the {len(fields(DataConfig))} that there are",
        ),
        (
            "data.views.0.zzz=1",
            f"'data.views.0.zzz'; `sslfast pretrain --help data.views` lists the {len(fields(ViewConfig))}",
        ),
        ("method.zzz=1", "'method.zzz'; `sslfast pretrain --help method.moco_v2` lists the"),
        ("method.name=zzz", f"no method 'zzz'; `sslfast pretrain --help method` lists the {len(METHODS)}"),
        (
            "method={dim: 3}",
            f"method.name is missing; `sslfast pretrain --help method` lists the {len(METHODS)} that there are",
        ),
        ("data.views=zzz", f"`sslfast pretrain --help data.views` lists the {len(PRESETS)} that there are"),
        ("method=simclr", "method: is a group of settings, got 'simclr'; run the recipe 'simclr' instead, or set"),
        ("method=simlcr", "method: is a group of settings, got 'simlcr'; did you mean 'simclr'?"),
        ("optim=adamw", "optim: is a group of settings, got 'adamw'; did you mean optim.name=adamw?"),
        ("optim.step_at=many", "optim.step_at: input should be a valid tuple, got 'many'"),
        ("optim.step_at=2", "optim.step_at.0: input should be less than or equal to 1, got 2"),
        ("optim.betas=0.5", "optim.betas: input should be a valid tuple, got 0.5"),
    ],
)
def test_a_wrong_override_is_explained(override, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?").replace("[", r"\[")):
        load_recipe("moco_v2_cifar10", [override])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "drawing: shape is missing"),
        ({"shape": 5}, "shape: input should be .*, got 5"),
        ({"shape": {}}, "shape.name is missing; choose from circle, square"),
        ({"shape": {"radius": 2}}, "shape.name is missing; choose from circle, square"),
        ({"shape": {"name": "circel"}}, "shape.name: no shape 'circel'; did you mean 'circle'?"),
        ({"shape": {"name": "line"}}, "shape.name: no shape 'line'; choose from circle, square"),
        ({"shape": {"name": 5}}, "shape.name: no shape '5'; choose from circle, square"),
        ({"shape": {"name": "circle", "radiu": 2}}, "unknown key 'shape.radiu'; did you mean 'shape.radius'?"),
        ({"shape": {"name": "circle", "side": 2}}, "unknown key 'shape.side'; choose from name, radius"),
        (
            {"shape": {"name": "square", "side": 0}},
            "shape.side: input should be greater than or equal to 1, got 0",
        ),
        ({"shape": {"name": "square", "side": 13}}, "shape: value error, no square has this side, got"),
        ({"shape": {"name": "circle"}, "colors": ["red", 5]}, "colors.1: input should be a valid string, got 5"),
        ({"shape": {"name": "circle"}, "colros": 5}, "unknown key 'colros'; did you mean 'colors'?"),
    ],
)
def test_a_fault_in_a_union_is_explained_by_the_keys_that_a_person_writes(values, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        validate(Drawing, values, "drawing")


def test_settings_that_do_not_go_together_are_explained_by_their_own_message():
    linear = PROTOCOLS["linear"].config
    with pytest.raises(UsageError, match="^evaluate: lr=3.0: protocol=fast .* or use protocol=features$"):
        validate(linear, {"protocol": "fast", "lr": 3.0}, "evaluate")


def test_a_number_where_a_list_is_meant_is_a_list_of_one():
    assert load_recipe("moco_v2_cifar10", ["optim.step_at=0.5"]).optim.step_at == (0.5,)
    assert load_recipe("pcl", ["method.clusters=50"]).method.clusters == (50,)
    knn = PROTOCOLS["knn"].config
    assert validate(knn, apply_overrides(knn, {}, ["k=5"]), "knn").k == [5]
    assert validate(knn, apply_overrides(knn, {}, ["temperature=1e-2"]), "knn").temperature == [0.01]
    with pytest.raises(UsageError, match="temperature: input should be a valid list, got 'low'"):
        validate(knn, {"temperature": "low"}, "knn")


def test_a_whole_number_where_a_name_is_meant_is_that_name():
    knn = PROTOCOLS["knn"].config
    assert validate(knn, apply_overrides(knn, {}, ["classes=0"]), "knn").classes == "0"
    with pytest.raises(UsageError, match="classes: input should be a valid string, got True"):
        validate(knn, {"classes": True}, "knn")


def test_every_fault_is_named():
    with pytest.raises(UsageError, match="^here: shape.radius: .*; here: unknown key 'color'"):
        validate(Drawing, {"shape": {"name": "circle", "radius": "wide"}, "color": "red"}, "here")


def test_overrides_leave_the_values_that_they_are_given():
    values = {"shape": {"name": "circle"}}
    assert apply_overrides(Drawing, values, ["shape.radius=3"]) == {"shape": {"name": "circle", "radius": 3}}
    assert values == {"shape": {"name": "circle"}}


@pytest.mark.parametrize("setting", ["=3", "shape.radius", ""])
def test_an_override_needs_a_key_and_a_value(setting):
    with pytest.raises(UsageError, match="expected key.sub=value"):
        apply_overrides(Drawing, {}, [setting])


def test_the_members_of_a_union_by_their_names():
    assert union_members(Circle | Square) == {"circle": Circle, "square": Square}
    assert not union_members(list[Circle] | None)
    assert not union_members(Any)
    assert union_members(recipe_schema().__pydantic_fields__["method"].annotation).keys() == METHODS.keys()
