"""A page for each op: its docstring, its implementations and its figures."""

import griffe
from figures import figures


def op_pages(package: griffe.Module) -> dict[str, str]:
    """Writes the text of the pages by their names on the site: of all of `sslfast.kernels` but common/."""
    ops = {name: path for name, path in package["kernels"].imports.items() if ".kernels.common." not in path}
    return {f"ops/{name}.md": _page(name, path) for name, path in sorted(ops.items())}


def _page(name: str, path: str) -> str:
    return f"""\
---
title: {name}
---

::: {path}
    options:
      heading_level: 1

## Figures

{figures(f"`{name}`")}
"""
