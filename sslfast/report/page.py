"""The report's HTML page: no scripts, nothing from the network, the pictures beside it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from sslfast.errors import printable

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
       background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { margin: .4rem 0; }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""


def escape(text: str) -> str:
    """Text of one line as markup that shows it, `printable`."""
    return html.escape(printable(text))


def page(title: str, sections: Iterable[str]) -> str:
    """A whole HTML document around sections of markup."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A heading, which is escaped, above parts of markup."""
    return "\n".join([f"<h2>{escape(heading)}</h2>", *parts])


def paragraph(text: str) -> str:
    """A paragraph of escaped text."""
    return f"<p>{escape(text)}</p>"


def picture(file: str, description: str) -> str:
    """A picture that lies beside the page, and its description for those who do not see it."""
    return f'<img src="{escape(file)}" alt="{escape(description)}">'


def table(cells: Sequence[Sequence[str]]) -> str:
    """A table of escaped text, whose first row is its heading."""
    lines = [_row(cells[0], "th"), *(_row(row, "td") for row in cells[1:])]
    return "\n".join(["<table>", *lines, "</table>"])


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def preformatted(text: str) -> str:
    """Escaped text with its spaces and line breaks."""
    return f"<pre>{html.escape(text)}</pre>"
