"""`sslfast list`."""

import pytest

from sslfast.cli import main
from sslfast.commands.list import first_sentence, leading_comment, listing
from sslfast.methods import METHODS
from sslfast.recipes.load import recipes


def test_every_method_and_recipe_has_a_line_that_says_what_it_is(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert out == f"{listing()}\n"
    methods, files = (part.splitlines() for part in out.split("\n\n"))
    assert [methods[0], files[0]] == ["methods:", "recipes:"]
    assert [line.split()[0] for line in methods[1:]] == list(METHODS)
    assert [line.split()[0] for line in files[1:]] == list(recipes())
    said = {}
    for line in [*methods[1:], *files[1:]]:
        name, _, text = line.strip().partition("  ")
        assert text.strip().endswith("."), f"{name}: say what it is in a sentence, first of all"
        said.setdefault(text.strip(), []).append(name)
    assert not [names for names in said.values() if len(names) > 1], "one line for several"


def test_a_recipes_comment_ends_where_its_settings_begin(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("# One, of\n# two lines. More.\nmethod:\n  # inner\n  name: x\n")
    assert first_sentence(leading_comment(path)) == "One, of two lines."


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("MoCo (He et al. 2020). Second.", "MoCo (He et al. 2020)."),
        ("Of v1.5\nand v2.\n\nMore", "Of v1.5 and v2."),
        ("Unfinished", "Unfinished"),
        ("", ""),
    ],
)
def test_a_sentence_ends_at_a_full_stop_before_a_capital(text, first):
    assert first_sentence(text) == first
