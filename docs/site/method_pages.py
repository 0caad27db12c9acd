"""A page for each method: its idea, its paper, its settings, its recipes and its figures."""

import ast
import re
from collections.abc import Iterator

import griffe
import yaml
from figures import figures
from repository_pages import ROOT
from setting_pages import prose, setting_list

RECIPES = ROOT / "sslfast" / "recipes"
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def method_pages(package: griffe.Module) -> dict[str, str]:
    """Writes the text of the pages by their names on the site; a method's file is named for it."""
    (places,) = package["methods"]["METHODS"].value.arguments
    classes = {
        ast.literal_eval(name): ast.literal_eval(place).partition(":")[2]
        for name, place in zip(places.keys, places.values, strict=True)
    }
    return {f"methods/{name}.md": _page(name, package["methods"][name], cls) for name, cls in classes.items()}


def _page(name: str, module: griffe.Module, cls: str) -> str:
    paper = ARXIV.sub(r"[\g<0>](https://arxiv.org/abs/\1)", prose(module.docstring.value))
    settings = setting_list(module[str(module[cls].members["Config"].value)], "method.")
    return f"""\
# `{name}`

{paper}

{prose(module[cls].docstring.value)}

```
sslfast pretrain {name} --data photographs/ --out runs/{name}
```

## Settings

{settings or "None of its own."}

Those of every run: [Settings](../settings.md).

## Recipes

{"".join(_recipes(name))}
## Figures

{figures(name)}
"""


def _recipes(method: str) -> Iterator[str]:
    """Yields the recipes' files, each below its name; of families, whose file states many methods, the names."""
    for path in sorted(RECIPES.glob("*/*.yaml"), key=lambda path: (path.parent.name == "families", path)):
        text = path.read_text()
        values = yaml.safe_load(text)
        if method in values.get("methods", ()):
            ends = (images if images == path.stem else f"{path.stem}_{images}" for images in values["images"])
            link = f"[{path.stem}.yaml](../{path.relative_to(ROOT)}.md)"
            yield f"Of {link}: {', '.join(f'`{method}_{end}`' for end in ends)}.\n\n"
        elif values.get("method", {}).get("name") == method:
            code = f"```yaml\n{text}```\n".replace("\n", "\n    ")
            yield f'??? example "{path.stem}_{path.parent.name}"\n\n    {code}\n\n'
