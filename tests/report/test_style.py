"""The names in the report's pictures."""

from sslfast.report.style import shortened


def test_names_are_shortened_and_no_formulas() -> None:
    assert shortened("airplane", 16) == "airplane"
    assert shortened("a" * 40, 16) == "a" * 15 + "…"
    assert shortened("a$b", 16) == r"a\$b"
