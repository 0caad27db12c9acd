"""The help of recipes: what `sslfast pretrain --help PART` prints."""

import pytest

from sslfast.config.parts import ALL
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.help import describe
from sslfast.recipes.load import load_recipe, to_dict
from sslfast.recipes.overview import recipe_overview
from sslfast.recipes.presets import PRESETS


def test_every_setting_is_described_with_its_default():
    for section, values in to_dict(load_recipe("moco_v2")).items():
        text = describe("method.moco_v2" if section == "method" else section)
        for name in values:
            if name != "views" and (section, name) != ("method", "name"):
                assert f"\n  {section}.{name}=" in text
    assert "\n  data.views.0.blur_sigma=[0.1, 2.0]" in describe("data.views")
    assert "\n  optim.betas=[0.9, 0.999]" in describe("optim")


def test_a_part_has_its_own_settings_alone():
    assert "method.temperature=0.07" in describe("method.moco_v1")
    assert "method.temperature=0.2" in describe("moco_v2")  # the end of its name
    assert "\n  data.views.0." not in describe("data")
    assert "optim." not in describe("train")
    assert set(describe("views").replace(",", " ").split()) >= PRESETS.keys()
    listed = [line.split() for line in describe("method").splitlines()]
    assert METHODS.keys() <= {words[0] for words in listed if words}


def test_a_setting_is_shown_below_the_parts_that_have_it():
    text = describe("train.epochs")
    assert text.startswith("train ")
    assert [line.split("=")[0] for line in text.splitlines() if "=" in line] == ["  train.epochs"]
    assert describe("epochs") == describe("train.epochs")
    momentum = describe("momentum")
    assert "  optim.momentum=" in momentum
    assert momentum.count("  method.momentum=") > 5
    assert "lr" not in momentum


def test_all_of_it():
    text = describe(ALL)
    assert all(f"method.name={name} " in text for name in METHODS)
    assert "  optim.lr=" in text


def test_the_name_of_nothing_is_refused_with_one_that_is_near():
    for name, near in {
        "trian": "train",
        "epoch": "epochs",
        "mocov2": "moco_v2",
        "method.swaw": "method.swav",
        "train.epoch": "train.epochs",
    }.items():
        with pytest.raises(UsageError, match=f"--help '{name}': no part .*; did you mean '{near}'"):
            describe(name)
    with pytest.raises(UsageError, match=r"--help 'zzz': no part .*; `--help all` lists the \d+ that there are"):
        describe("zzz")


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_fit_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for text in (describe(ALL), recipe_overview()):
        assert max(map(len, text.splitlines())) <= min(columns, 100) - 2
