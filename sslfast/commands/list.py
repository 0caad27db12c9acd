"""`sslfast list`: the methods and the recipes, a line each."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from sslfast.methods import METHODS
from sslfast.recipes.load import recipes


def listing() -> str:
    """Each method with what its file says first of it, each recipe with how its comment begins."""
    methods = {name: sys.modules[method.__module__].__doc__ or "" for name, method in METHODS.items()}
    files = {name: leading_comment(path) for name, path in recipes().items()}
    return "\n".join(["methods:", *_lines(methods), "", "recipes:", *_lines(files)])


def leading_comment(path: Path) -> str:
    """The text of the comment that a YAML file begins with."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return "\n".join(line.removeprefix("#").strip() for line in lines)


def first_sentence(text: str) -> str:
    """Up to the full stop before a capital, on one line: those of "et al. 2020" and "v1.5" end nothing."""
    return re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join(text.split()), maxsplit=1)[0]


def _lines(texts: Mapping[str, str]) -> list[str]:
    width = max(map(len, texts))
    return [f"  {name:<{width}}  {first_sentence(text)}" for name, text in texts.items()]
