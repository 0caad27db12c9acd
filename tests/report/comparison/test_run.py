"""What compared runs are called."""

from pathlib import Path

from sslfast.report.comparison.run import names


def test_names_have_as_many_parts_as_tell_them_apart() -> None:
    assert names([Path("/r/a"), Path("/r/b")]) == ["a", "b"]
    assert names([Path("/r/a"), Path("/s/a"), Path("/s/b")]) == ["r/a", "s/a", "s/b"]
    assert names([Path("/r/a\n"), Path("/r/a\\n")]) == ["a\\n", "a\\n"]
