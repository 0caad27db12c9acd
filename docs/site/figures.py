"""The rows that the generated tables of docs/ have of an op or a method."""

import re
from collections.abc import Iterator

from markdown.extensions.toc import slugify
from repository_pages import DOCS

PAGES = ("kernels.md", "RESULTS.md")
TABLE = re.compile(r"<!-- (.+) -->\n(.*?)<!-- /\1 -->", re.DOTALL)


def figures(cell: str) -> str:
    """Finds every table with rows that have this cell: these rows as columns, below a link to the whole table."""
    return "\n\n".join(found for page in PAGES for found in _tables(page, cell)) or "Not measured yet."


def _tables(page: str, cell: str) -> Iterator[str]:
    text = (DOCS / page).read_text()
    for table in TABLE.finditer(text):
        head, _, *rows = ([word.strip() for word in line[1:-1].split("|")] for line in table[2].splitlines())
        if chosen := [row for row in rows if cell in row]:
            *_, section = re.findall(r"^## (.+)$", text[: table.start()], flags=re.MULTILINE)
            link = f"[{section}](../{page}#{slugify(section, '-')})"
            note = f" ({table[1]})" if " " in table[1] else ""
            first, *rest = (f"| {' | '.join(line)} |" for line in zip(head, *chosen, strict=True))
            yield "\n".join([f"{link}{note}:", "", first, "|---" * (1 + len(chosen)) + "|", *rest])
