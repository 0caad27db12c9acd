"""One spelling of a word throughout, the American one: what is searched for is found."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = "sslfast", "kernels", "csrc", "benchmarks", "docs", "examples", "tests"
SUFFIXES = {".py", ".md", ".yaml", ".cpp", ".cu", ".cuh", ".h", ".ipynb", ".toml"}
BRITISH = re.compile(
    r"colour|neighbour|behaviour|centre[ds]?\b|licence|labelled|labelling|\bgrey|"
    r"(normal|initial|standard|summar|solar|synchron|serial|vector|regular|minim|maxim|general|optim|real|recogn)is(e|ing|ation)",
    re.IGNORECASE,
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_words_are_spelled_as_americans_do(folder):
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES and path != Path(__file__)]
    assert files
    found = {f"{path.relative_to(ROOT)}: {m[0]}" for path in files for m in BRITISH.finditer(path.read_text())}
    assert not found


def test_pages_at_the_root_are_too():
    found = {f"{path.name}: {m[0]}" for path in ROOT.glob("*.md") for m in BRITISH.finditer(path.read_text())}
    assert not found
