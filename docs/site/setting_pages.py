"""The page of every setting of a run, and the settings of a dataclass as a list."""

import ast
import re
from collections.abc import Iterator

import griffe
import yaml

INTRODUCTION = """\
Every setting of a run with its default, as `key=value` after a recipe's name or [from Python](python.md#settings).
A recipe states what differs, and `--print-config` shows what it comes to. The pages of the methods have
`method.`'s."""


def setting_pages(package: griffe.Module) -> dict[str, str]:
    """Writes the text of the page by its name on the site."""
    module = package["config.recipe"]
    sections = {name: str(field.annotation) for name, field in module["Recipe"].attributes.items()}
    parts = (part for name, cls in sections.items() if name != "method" for part in _parts(module, name, cls))
    return {"settings.md": "\n\n".join(["# Settings", INTRODUCTION, *parts]) + "\n"}


def _parts(module: griffe.Module, key: str, cls: str, level: int = 2) -> Iterator[str]:
    """Yields a heading, a dataclass's docstring and settings, and the same of its lists' first items."""
    config = module[cls]
    yield from (f"{'#' * level} {key}", config.docstring.value, setting_list(config, f"{key}."))
    for name, field in config.attributes.items():
        if item := re.fullmatch(r"list\[(\w+Config)\]", str(field.annotation)):
            yield from _parts(module, f"{key}.{name}.0", item[1], level + 1)


def setting_list(config: griffe.Class, prefix: str) -> str:
    """Lists the settings that have a meaning, those of the bases first, with keys after a prefix: "data."."""
    lines = []
    for name, field in config.all_members.items():
        if field.is_attribute and field.value is not None and (meaning := _meaning(config, name)):
            lines.append(f"- `{prefix}{name}={_default(str(field.value))}`: {prose(' '.join(meaning.split()))}")
    return "\n".join(lines)


def prose(docstring: str) -> str:
    """Writes a docstring as Markdown, to which `<model>` outside of code would be HTML."""
    return re.sub(r"(`[^`]*`)|<(?=\w)", lambda found: found[1] or "&lt;", docstring)


def _meaning(config: griffe.Class, name: str) -> str | None:
    """Finds the docstring of a field, or of the nearest base's."""
    fields = (cls.members.get(name) for cls in (config, *config.mro()))
    return next((field.docstring.value for field in fields if field and field.docstring), None)


def _default(code: str) -> str:
    """Shows a default as YAML has it; of one that is made by a call, "[...]"."""
    if code.startswith("field("):
        return "[...]"
    try:
        value = ast.literal_eval(code)
    except ValueError:  # a quotient
        return code
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).splitlines()[0]
