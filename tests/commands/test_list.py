"""`sslfast list`."""

import pytest

from sslfast.cli import main
from sslfast.commands.list import leading_comment, listing
from sslfast.config.help import first_sentence
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.files import ablations, recipes


def test_every_method_and_recipe_has_a_line_that_says_what_it_is(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert out == f"{listing()}\n"
    methods, files, tables = (part.splitlines() for part in out.split("\n\n"))
    heading = "methods (a name alone is the method's recipe for photographs at 128 pixels):"
    assert [methods[0], files[0]] == [heading, "recipes:"]
    assert [line.split()[0] for line in methods[1:]] == list(METHODS)
    assert [line.split()[0] for line in files[1:]] == list(recipes())
    assert [line.split()[0] for line in tables[1:]] == list(ablations())
    said = {}
    for line in [*methods[1:], *files[1:], *tables[1:]]:
        name, _, text = line.strip().partition("  ")
        assert text.strip().endswith("."), f"{name}: say what it is in a sentence, first of all"
        said.setdefault(text.strip(), []).append(name)
    assert not [names for names in said.values() if len(names) > 1], "one line for several"


def test_a_recipes_comment_ends_where_its_settings_begin(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("# One, of\n# two lines. More.\nmethod:\n  # inner\n  name: x\n")
    assert first_sentence(leading_comment(path)) == "One, of two lines."


@pytest.mark.parametrize("word", ["moco_v2", "MoCo-v2"])
def test_a_word_chooses_names(capsys, word):
    assert main(["list", word]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert names == ["moco_v2", *(name for name in recipes() if "moco_v2" in name)]
    assert listing("moco_v2_shapes").splitlines()[0] == "recipes:"  # of methods, none


def test_a_word_in_no_name_is_refused():
    with pytest.raises(UsageError, match="list mocov2: no method, recipe or ablation .* did you mean 'moco_v2'?"):
        listing("mocov2")
