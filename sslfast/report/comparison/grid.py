"""A table of texts that a page, a Markdown file and a CSV file show alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sslfast.errors import printable
from sslfast.report.page import Cell, table

NOTHING: Cell = ("-", "")  # where a run has no value


@dataclass(frozen=True)
class Grid:
    """A table, whose rows begin with what they are called.

    Attributes:
        headings: of its columns, the first one's too.
        rows: as many cells each.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def html(self) -> str:
        """Writes the table as markup."""
        return table(self.headings, self.rows)

    def markdown(self) -> str:
        """Writes the table as Markdown, the smaller text of a cell in brackets."""
        rows = [[text + (f" ({below})" if below else "") for text, below in row] for row in self.rows]
        lines = [self.headings, ["---"] + ["---:"] * (len(self.headings) - 1), *rows]
        return "\n".join(f"| {' | '.join(map(escaped, line))} |" for line in lines)


def escaped(text: str) -> str:
    """Writes a text of one line as Markdown that shows it: neither markup nor the end of a cell."""
    return "".join(f"\\{c}" if c in "\\|*_<>`[]" else c for c in printable(text))
