"""The layers of the code as CONTRIBUTING.md states them, and the imports that are really there.

`make architecture` writes both into docs/architecture.md: the drawing between the lines `<!-- drawing -->` and
`<!-- /drawing -->`, the table of the layers between `<!-- table -->` and `<!-- /table -->`.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"<!-- layers -->\s*```\n(.*?)```", re.DOTALL)


def layers() -> dict[str, str]:
    """Reads the folders of sslfast/ and its own files from top to bottom, each with what it is."""
    (block,) = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    named = (line.split(maxsplit=1) for line in block.splitlines())
    return {name.removesuffix("/"): meaning for name, meaning in named}


def modules() -> dict[str, Path]:
    """Finds the files of the package, kernels and benchmarks included, by their dotted names."""
    found = {}
    for folder in ("sslfast", "kernels", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[:2] in (
                ("sslfast", "kernels"),
                ("sslfast", "benchmarks"),
            ):  # links, see kernels/ and benchmarks/
                continue
            parts = parts if folder == "sslfast" else ("sslfast", *parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> dict[str, set[str]]:
    """Finds the modules of the package that each of its modules imports, anywhere in it and for types too."""
    known = modules()
    return {name: set(_imported(path, known)) for name, path in known.items()}


def _imported(path: Path, known: dict[str, Path]):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            # A name may be a module of the package named, or something in it.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in names]
        else:
            continue
        yield from (name for name in names if name in known)


def layer(module: str) -> str:
    """Names the layer that a module belongs to: its folder in sslfast/, or its own name for a file there."""
    return module.split(".")[1] if "." in module else "__init__"


def arrows() -> dict[str, set[str]]:
    """Finds the layers that each layer imports."""
    found = {name: set() for name in layers()}
    for source, targets in imports().items():
        found[layer(source)] |= {layer(target) for target in targets} - {layer(source)}
    return found


def drawing() -> str:
    """Draws a Mermaid flowchart of the layers: an arrow points to each layer that one imports.

    An arrow is left out where a longer way along the others leads to the same layer; so is a layer without arrows.
    """
    direct = arrows()
    below: dict[str, set[str]] = {}  # all that a layer imports, over others too; from the bottom to the top
    for name in reversed(direct):
        below[name] = direct[name].union(*(below[other] for other in direct[name]))
    drawn = [
        (name, other)
        for name in direct
        for other in direct
        if other in direct[name] and not any(other in below[between] for between in direct[name])
    ]
    shown = {name for arrow in drawn for name in arrow}
    lines = [f'  {name}["{name}"]' for name in direct if name in shown]
    return "\n".join(["flowchart TD", *lines, *(f"  {name} --> {other}" for name, other in drawn)])


def table() -> str:
    """Writes a Markdown table of the layers, from top to bottom."""
    return "\n".join(
        ["| layer | what it is |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in layers().items())]
    )


def with_layers(text: str) -> str:
    """Makes the drawing and the table in the text of docs/architecture.md anew."""
    for name, content in (("drawing", f"```mermaid\n{drawing()}\n```"), ("table", table())):
        head, rest = text.split(f"<!-- {name} -->\n", 1)
        text = f"{head}<!-- {name} -->\n{content}\n<!-- /{name} -->{rest.split(f'<!-- /{name} -->', 1)[1]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_layers(PAGE.read_text()))
