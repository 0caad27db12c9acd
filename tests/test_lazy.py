"""Names that are found when they are first used."""

import sys

import pytest

from sslfast.lazy import LazyMapping, docstring


@pytest.fixture
def fractions(monkeypatch):
    """Makes a mapping to two classes of a module that is not loaded."""
    monkeypatch.delitem(sys.modules, "fractions", raising=False)
    return LazyMapping({"fraction": "fractions:Fraction", "decimal": "fractions:Decimal"})


def test_a_value_is_loaded_when_it_is_asked_for(fractions):
    assert list(fractions) == ["fraction", "decimal"]
    assert "fraction" in fractions
    assert "other" not in fractions
    assert fractions.modules == {"fraction": "fractions", "decimal": "fractions"}
    assert "fractions" not in sys.modules
    assert fractions["fraction"](1, 2) * 2 == 1
    assert "fractions" in sys.modules
    assert fractions["fraction"] is fractions["fraction"]


def test_it_changes_as_a_dictionary_does(fractions):
    fractions["own"], fractions["fraction"] = 1, 2
    assert list(fractions) == ["fraction", "decimal", "own"]
    assert (fractions["own"], fractions["fraction"], len(fractions)) == (1, 2, 3)
    del fractions["fraction"], fractions["decimal"]
    assert dict(fractions) == {"own": 1}
    for name in ("fraction", "other"):
        with pytest.raises(KeyError, match=name):
            fractions[name]
    assert fractions.get("fraction") is None
    assert "fractions" not in sys.modules


def test_the_docstring_of_a_module_is_read_without_importing_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)  # the Zen of Python, which an import prints
    assert docstring("sslfast.lazy").startswith("Names of a module")
    assert docstring("this") == ""
    assert docstring("no_such_module") == ""
    assert "this" not in sys.modules
