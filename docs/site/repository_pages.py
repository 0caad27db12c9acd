"""The Markdown files of the repository as pages of the site, and a page for each other file that they lead to."""

import json
import re
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
AT_ROOT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
MARKER = re.compile(r"^<!-- .* -->\n", re.MULTILINE)  # of a generated table
DRAWING = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def repository_pages() -> dict[str, str | Path]:
    """Reads the text of the pages by their names on the site; of a picture that they show, its file."""
    pages: dict[str, str | Path] = {}
    for path in [*AT_ROOT, *sorted(DOCS.glob("*.md")), *sorted((ROOT / "examples").glob("*.*"))]:
        _add(path, pages)
    return pages


def uri_of(path: Path) -> str:
    """Returns the name of a file of the repository on the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    if path.suffix in (".md", ".png"):
        return "index.md" if name == "README.md" else name
    return f"{name}.md"


def _add(path: Path, pages: dict[str, str | Path]) -> None:
    """Adds a file, and those that it leads to."""
    uri = uri_of(path)
    if uri in pages:
        return
    if path.suffix == ".png":
        pages[uri] = path
    elif path.suffix == ".md":
        pages[uri] = ""  # it may lead to itself
        text = MARKER.sub("", DRAWING.sub(_table_of_arrows, path.read_text()))
        parts = FENCED.split(text)  # text and code in turn
        parts[::2] = (LINK.sub(partial(_site_link, path, pages), part) for part in parts[::2])
        pages[uri] = "".join(parts)
    elif path.suffix == ".ipynb":
        pages[uri] = _notebook(path)
    else:
        pages[uri] = f"# `{path.name}`\n\n````{path.suffix[1:]}\n{path.read_text()}````\n"


def _notebook(path: Path) -> str:
    """Writes the cells of a notebook, one after the other."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text())["cells"]]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for kind, text in cells) + "\n"


def _site_link(page: Path, pages: dict[str, str | Path], link: re.Match[str]) -> str:
    """Turns a page's link into one that leads to the same on the site; that to a folder into its name."""
    text, target, heading = link.groups(default="")
    path = (page.parent / target).resolve()
    if not path.exists():  # on another server, or nowhere, of which mkdocs warns
        return link[0]
    if path.is_dir():
        name = path.relative_to(ROOT).as_posix()
        return f"`{name}`" if text.rstrip("/") == name else f"{text} (`{name}`)"
    _add(path, pages)
    depth = uri_of(page).count("/")
    return f"[{text}]({'../' * depth}{uri_of(path)}{heading})"


def _table_of_arrows(drawing: re.Match[str]) -> str:
    """Writes the arrows of a mermaid drawing as a table: to draw them, a browser would have to load a program."""
    arrows: dict[str, list[str]] = {}
    for start, end in re.findall(r"(\w+) --> (\w+)", drawing[1]):
        arrows.setdefault(start, []).append(f"`{end}`")
    rows = (f"| `{start}` | {', '.join(ends)} |" for start, ends in arrows.items())
    return "\n".join(["| from | to |", "|---|---|", *rows])
