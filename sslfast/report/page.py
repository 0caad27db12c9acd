"""The report's HTML page: one file, no scripts, nothing from the network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from importlib.resources import files

from PIL import Image

from sslfast.errors import printable

PIXEL_ART = 64  # pixels: up to this side an image is kept exactly, and its pixels are shown as squares
JPEG_QUALITY = 85
COLORS = 10  # of the style, var(--class-0) and so on

Cell = tuple[str, str]  # a text, and a smaller one below it, which may be empty


def escape(text: str) -> str:
    """Writes a text of one line as markup that shows it, `printable`."""
    return html.escape(printable(text))


def page(title: str, lead: str, sections: Iterable[str]) -> str:
    """Puts a whole HTML document around sections of markup.

    Args:
        title: its title and heading, which is escaped.
        lead: a line below the heading, which is escaped.
        sections: the markup of the rest.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · sslfast</title>\n<style>\n{stylesheet()}</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{escape(title)}</h1>\n<p class="quiet">{escape(lead)}</p>\n</header>\n<main>\n'
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def stylesheet() -> str:
    """Reads the page's style."""
    return files(__package__).joinpath("page.css").read_text(encoding="utf-8")


def section(heading: str, *parts: str) -> str:
    """Puts a heading, which is escaped, above parts of markup."""
    return "\n".join(["<section>", f"<h2>{escape(heading)}</h2>", *parts, "</section>"])


def subheading(text: str) -> str:
    """Makes a heading within a section, which is escaped."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str) -> str:
    """Makes a paragraph of escaped text."""
    return f"<p>{escape(text)}</p>"


def aside(text: str) -> str:
    """Makes a paragraph of escaped text that is less important."""
    return f'<p class="quiet">{escape(text)}</p>'


def warning(text: str) -> str:
    """Makes a paragraph of escaped text that is not to be passed over."""
    return f'<p class="warning">{escape(text)}</p>'


def pair(*figures: str) -> str:
    """Puts figures in two columns, where the window is wide enough."""
    return "\n".join(['<div class="pair">', *figures, "</div>"])


def definitions(kind: str, items: Iterable[tuple[str, Cell]]) -> str:
    """Makes a list of names and what they stand for, which are escaped; `kind` is "figures" or "facts"."""
    rows = (f"<div><dt>{escape(name)}</dt><dd>{_cell(cell)}</dd></div>" for name, cell in items)
    return "\n".join([f'<dl class="{kind}">', *rows, "</dl>"])


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Makes a table of escaped text; the first cell of a row names it."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = (
        f'<tr><th scope="row">{_cell(first)}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    lines = ['<div class="scroll"><table>', f"<thead><tr>{head}</tr></thead>", "<tbody>", *body, "</tbody>"]
    return "\n".join([*lines, "</table></div>"])


def _cell(cell: Cell) -> str:
    text, below = cell
    return escape(text) + (f" <small>{escape(below)}</small>" if below else "")


def folded(label: str, markup: str) -> str:
    """Folds markup, which a click on its label, which is escaped, unfolds."""
    return f"<details>\n<summary>{escape(label)}</summary>\n{markup}\n</details>"


def preformatted(text: str) -> str:
    """Shows escaped text with its spaces and line breaks."""
    return f"<pre>{html.escape(text)}</pre>"


def picture(image: Image.Image, description: str) -> str:
    """Puts an RGB image into the page, with an escaped description for those who do not see it."""
    is_small = max(image.size) <= PIXEL_ART
    data = io.BytesIO()
    if is_small:
        image.save(data, format="PNG", optimize=True)
    else:
        image.save(data, format="JPEG", quality=JPEG_QUALITY)
    content = base64.b64encode(data.getvalue()).decode()
    kind = f"image/{'png' if is_small else 'jpeg'}"
    return (
        f'<img src="data:{kind};base64,{content}" width="{image.width}" height="{image.height}" '
        f'alt="{escape(description)}"{" class=pixels" if is_small else ""}>'
    )
