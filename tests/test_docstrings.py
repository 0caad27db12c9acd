"""That the docstring of a function says what it does: it begins with a verb in the third person, "Returns ..."."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = "sslfast", "kernels", "benchmarks", "docs", "examples", "tests"
FIRST = re.compile(r"([A-Z][a-z-]*s),? (of )?")
NO_VERBS = re.compile(
    "Always|As|Batches|Bytes|Cells|Classes|Colors|Commands|Equations|Features|Figures|Gradients|Ids|Images|Indices|"
    "Its|Keys|Labels|Lines|Logits|Loss|Losses|Masks|Members|Milliseconds|Modules|Norms|Objects|Patches|Paths|Pictures|"
    "Pixels|Places|Points|Positions|Predictions|Probabilities|Recipes|Rows|Seconds|Settings|Shards|Shares|Sides|"
    "Steps|Targets|Tensors|This|Values|Vectors|Versions|Views|Weights"
)
TAKE_OF = {"Asserts", "Says", "Tells", "Warns"}  # others with it are nouns: names of, times of, scores of, ...


def has_verb(docstring):
    first = FIRST.match(docstring)
    return bool(first and not NO_VERBS.fullmatch(first[1]) and (first[1] in TAKE_OF or not first[2]))


def docstrings(path):
    """Yields (line, docstring) of functions, but for tests, which say what holds, and `__init__` of sections."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("test_"):
            docstring = ast.get_docstring(node)
            if docstring and not (node.name == "__init__" and re.match("(Args|Raises):", docstring)):
                yield node.body[0].lineno, docstring


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_of_functions_begin_with_a_verb(folder):
    names = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py"))
    assert names
    found = [
        f"{name}:{line}: {docstring.splitlines()[0]}"
        for name in names
        for line, docstring in docstrings(ROOT / name)
        if not has_verb(docstring)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("start", ["The mean", "A batch", "Whether it is one", "Names", "Views", "2 rows"])
def test_what_is_no_verb(start):
    assert not has_verb(f"{start} of what is given.")


@pytest.mark.parametrize("start", ["Names the devices", "Crops, resizes and flips", "Warns of values"])
def test_what_is_one(start):
    assert has_verb(f"{start} ...")
