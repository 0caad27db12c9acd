"""Whatever is written into a recipe or after a key, a run can be started or one sentence says why not."""

import random

import pytest

from sslfast.config.plain_yaml import LARGEST, read_yaml
from sslfast.config.settings import apply_overrides, setting_keys
from sslfast.config.validation import validate
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import from_dict, load_recipe, recipe_schema, recipes, to_yaml
from tests.recipes.odd_values import BOMB, VALUES

ODD_KEYS = ["", "...", "data", "data.views.0", "data.views.-1", "data.views.99.blur", "a.b.c", "train.epochs.x"]


def refusal(action, *arguments):
    """Returns the message that an action is refused with; "" where it is not."""
    try:
        action(*arguments)
    except UsageError as error:
        return str(error)
    return ""


def start(recipe, overrides=()):
    """Takes a recipe as far as it goes before the images are opened."""
    loaded = load_recipe(recipe, overrides)
    check_recipe(loaded)
    choose_device(loaded.train.device)
    assert to_yaml(from_dict(read_yaml(to_yaml(loaded)))) == to_yaml(loaded)


def test_overrides():
    chance = random.Random(0)
    keys = [*setting_keys(recipe_schema()), *ODD_KEYS]
    for _ in range(300):
        override = f"{chance.choice(keys)}={chance.choice(VALUES)}"
        message = refusal(start, chance.choice(["moco_v2", "pcl_cifar10", "swav_cifar10"]), [override])
        assert len(message) < 2500, override[:200]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_settings_of_evaluations(protocol):
    chance, schema = random.Random(1), PROTOCOLS[protocol].config
    keys = [*setting_keys(schema), *ODD_KEYS]

    def read(override):
        validate(schema, apply_overrides(schema, {}, [override]), "evaluate")

    for _ in range(200):
        override = f"{chance.choice(keys)}={chance.choice(VALUES)}"
        assert len(refusal(read, override)) < 2500, override[:200]


def test_recipe_files(tmp_path):
    chance, path = random.Random(2), tmp_path / "recipe.yaml"
    texts = [file.read_text() for file in recipes().values()]
    for _ in range(100):
        lines = [line for line in chance.choice(texts).splitlines() if line.strip() and not line.startswith("#")]
        at = chance.randrange(len(lines))
        key = lines[at].partition(":")[0]
        value = chance.choice(VALUES)
        lines[at] = chance.choice([f"{key}: {value}", f"{value}: {key}", value, f"  {lines[at]}", lines[at][:-3]])
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        assert len(refusal(start, str(path))) < 2500, lines[at][:200]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.betas=[0.9, 1]", "optim.betas.1: input should be less than 1, got 1"),
        ("method.temperature=1e-38", "method.temperature: value error, expected 1e-37 to 1e37"),
        ("method.dim=!!int '_'", "the value is not YAML: string index out of range"),
        (f"data.views={BOMB}", "the value is not YAML: it holds more than 10000 values, aliases resolved"),
        ("data.size=1000000", "data.size: input should be less than or equal to 16384"),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence(override, message):
    said = refusal(start, "moco_v2_cifar10", [override])
    assert message in said
    assert len(said) < 300


def test_a_date_is_text():
    assert load_recipe("moco_v2_cifar10", ["data.source=2024-01-01"]).data.source == "2024-01-01"


def test_aliases_are_resolved():
    assert read_yaml("{a: &x {b: 1}, c: *x}") == {"a": {"b": 1}, "c": {"b": 1}}
    with pytest.raises(ValueError, match=f"more than {LARGEST} values"):
        read_yaml("&a [*a]")
