"""Families of recipes: several methods on several sets of images by one protocol, which a file states once.

families/mncl.yaml has the settings `shared` by all, those of each of its `images` and of each of its `methods`:
"byol_mncl_cifar10" is made of the shared ones, those of cifar10 over them, and those of byol over both. Images of
the family's name are named once: "byol_imagenet100" is of families/imagenet100.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslfast.config.plain_yaml import read_yaml

FOLDER = "families"


@dataclass(frozen=True)
class Member:
    """A recipe of a family.

    Attributes:
        family: the file.
        method, images: the member's names there.
    """

    family: Path
    method: str
    images: str

    def values(self) -> dict[str, Any]:
        """Reads the settings, as a recipe's file holds them."""
        family = read_yaml(self.family.read_text(encoding="utf-8"))
        values = _over(family["shared"], family["images"][self.images])
        return _over({"method": {"name": self.method}}, _over(values, family["methods"][self.method]))

    def named(self, sentence: str) -> str:
        """Says of this recipe what the family's file says of all of them."""
        return f"{self.method} on {self.images}: {sentence[:1].lower()}{sentence[1:]}"


def members(recipes: Path) -> dict[str, Member]:
    """Finds the members of all families by their names, <method>_<family>_<images>.

    Args:
        recipes: the folder of recipes.
    """
    found = {}
    for path in sorted((recipes / FOLDER).glob("*.yaml")):
        family = read_yaml(path.read_text(encoding="utf-8"))
        for images in family["images"]:
            for method in family["methods"]:
                last = images if images == path.stem else f"{path.stem}_{images}"
                found[f"{method}_{last}"] = Member(path, method, images)
    return found


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merges nested settings with others over them."""
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        merged[key] = _over(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged
