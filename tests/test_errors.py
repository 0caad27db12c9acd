"""What is shown of names that hold any character."""

import logging

import pytest

from sslfast.errors import PrintableFormatter, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photos/Ñandú 猫.png", "photos/Ñandú 猫.png"),
        ("a\x1b[31mb\nc\r\x9b\x07\t", r"a\x1b[31mb\nc\r\x9b\x07\t"),
        ("\udcb4\u202e", r"\udcb4\u202e"),  # a byte that is not UTF-8; a turn of the writing direction
        ("", ""),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text, shown):
    assert printable(text) == shown


def test_a_log_line_stays_a_line():
    record = logging.LogRecord("sslfast", logging.WARNING, "", 0, "%s: left out", ("a\n\x1b[2Jb.png",), None)
    assert PrintableFormatter("%(levelname)s %(message)s").format(record) == r"WARNING a\n\x1b[2Jb.png: left out"
