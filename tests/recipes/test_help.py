"""The help of recipes: what `sslfast pretrain --help` prints below the arguments."""

import pytest

from sslfast.methods import METHODS
from sslfast.recipes.help import describe
from sslfast.recipes.load import load_recipe, recipes, to_dict
from sslfast.recipes.presets import PRESETS


def test_every_setting_is_described_with_its_default():
    text = describe()
    for section, values in to_dict(load_recipe("moco_v2")).items():
        for name in values:
            if name != "name" or section != "method":
                assert f"  {section}.{name}=" in text
    assert "data.views.0.blur_sigma=[0.1, 2.0]" in text
    assert "optim.betas=[0.9, 0.999]" in text
    assert "method.temperature=0.07" in text  # moco_v1's
    assert "method.temperature=0.2" in text  # moco_v2's


def test_recipes_presets_and_methods_are_named():
    words = describe().replace(",", " ").split()
    assert set(words) >= {*recipes(), *PRESETS, *(f"method.name={name}" for name in METHODS)}


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_fit_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, describe().splitlines())) <= min(columns, 100) - 2
