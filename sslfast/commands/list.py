"""`sslfast list`: the methods, the recipes and the ablations, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from sslfast.config.help import first_sentence
from sslfast.errors import UsageError
from sslfast.hints import nearest
from sslfast.methods import METHODS
from sslfast.recipes import families
from sslfast.recipes.files import FOLDER, ablations, recipes
from sslfast.recipes.help import describe_method

ABLATIONS_HEADING = "ablations of papers, for `sslfast sweep`:"
METHODS_HEADING = "methods (a name alone is the method's recipe for photographs at 128 pixels):"


def listing(word: str = "") -> str:
    """Lists the methods, recipes and ablations whose names hold a word, each with the first sentence of its file.

    Raises:
        UsageError: no name holds it.
    """
    methods = {name: describe_method(name) for name in METHODS}
    files = {name: first_sentence(leading_comment(path)) for name, path in recipes().items()}
    files |= {name: member.named(files[name]) for name, member in families.members(FOLDER).items()}
    tables = {name: first_sentence(leading_comment(path)) for name, path in ablations().items()}
    sections = {METHODS_HEADING: methods, "recipes:": files, ABLATIONS_HEADING: tables}
    chosen = {heading: _holding(word, sentences) for heading, sentences in sections.items()}
    if not any(chosen.values()):
        hint = nearest(word, [*methods, *files, *tables], "`sslfast list`")
        raise UsageError(f"list {word}: no method, recipe or ablation has a name with {word!r}{hint}")
    return "\n\n".join(
        "\n".join([heading, *_lines(sentences)]) for heading, sentences in chosen.items() if sentences
    )


def list_methods(word: str = "") -> dict[str, str]:
    """Finds the methods whose names hold a word, each with the first sentence that its file says of it."""
    return _holding(word, {name: describe_method(name) for name in METHODS})


def _holding(word: str, sentences: Mapping[str, str]) -> dict[str, str]:
    """Picks the entries whose names hold a word, whatever the case and the kind of dash."""
    plain = word.lower().replace("-", "_")
    return {name: text for name, text in sentences.items() if plain in name}


def leading_comment(path: Path) -> str:
    """Reads the text of the comment that a YAML file begins with."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line.removeprefix("#").strip() for line in lines)


def _lines(sentences: Mapping[str, str]) -> list[str]:
    width = max(map(len, sentences))
    return [f"  {name:<{width}}  {text}" for name, text in sentences.items()]
