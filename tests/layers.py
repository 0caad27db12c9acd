"""The layers of the code as CONTRIBUTING.md states them, and the imports that are really there.

`python tests/layers.py` prints the drawing of docs/architecture.md.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"<!-- layers -->\s*```\n(.*?)```", re.DOTALL)


def layers() -> dict[str, str]:
    """The folders of sslfast/ from top to bottom, each with what it is; files of sslfast/ itself stand among them."""
    (block,) = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    named = (line.split(maxsplit=1) for line in block.splitlines())
    return {name.removesuffix("/"): meaning for name, meaning in named}


def modules() -> dict[str, Path]:
    """The files of the package, kernels and benchmarks included, by their dotted names."""
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
    """The modules of the package that each of its modules imports, anywhere in its file and for types too."""
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
    """The layer that a module belongs to: its folder in sslfast/, or its own name for a file there."""
    return module.split(".")[1] if "." in module else "__init__"


def drawing() -> str:
    """A Mermaid flowchart of the layers: an arrow points to each layer that one imports."""
    arrows = {(layer(source), layer(target)) for source, targets in imports().items() for target in targets}
    order = list(layers())
    lines = [f'  {name}["{name}"]' for name in order]
    lines += [f"  {a} --> {b}" for a in order for b in order if (a, b) in arrows and a != b]
    return "\n".join(["flowchart TD", *lines])


if __name__ == "__main__":
    print(drawing())
